//! Profiles whose storage key a platform keeps, well and badly.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ailurus::client::{Client, Error, KeyVault, Options, PROFILE_FILE, VaultError};
use ailurus::store::{StorageKey, StoreError};
use zeroize::Zeroizing;

/// Keeps a key in memory, and the order of what happened.
#[derive(Default)]
struct Vault {
    key: Mutex<Option<Vec<u8>>>,
    profile: Option<PathBuf>,
    stored_before_profile: Mutex<Option<bool>>,
}

impl KeyVault for Vault {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Ok(self.key.lock().unwrap().clone().map(Zeroizing::new))
    }

    fn store(&self, key: &[u8]) -> Result<(), VaultError> {
        *self.key.lock().unwrap() = Some(key.to_vec());
        let before = self.profile.as_ref().map(|profile| !profile.exists());
        *self.stored_before_profile.lock().unwrap() = before;
        Ok(())
    }
}

/// Takes its time for the first `store`.
#[derive(Default)]
struct Slow {
    key: Mutex<Option<Vec<u8>>>,
    stores: AtomicUsize,
}

impl KeyVault for Slow {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Ok(self.key.lock().unwrap().clone().map(Zeroizing::new))
    }

    fn store(&self, key: &[u8]) -> Result<(), VaultError> {
        if self.stores.fetch_add(1, Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(800));
        }
        *self.key.lock().unwrap() = Some(key.to_vec());
        Ok(())
    }
}

/// Does whatever a test wants when it is asked.
struct Odd<L, S>(L, S);

impl<L, S> KeyVault for Odd<L, S>
where
    L: Fn() -> Result<Option<Vec<u8>>, VaultError> + Send + Sync,
    S: Fn() -> Result<(), VaultError> + Send + Sync,
{
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        (self.0)().map(|key| key.map(Zeroizing::new))
    }

    fn store(&self, _: &[u8]) -> Result<(), VaultError> {
        (self.1)()
    }
}

async fn create(folder: &Path, vault: Arc<dyn KeyVault>) -> Result<Client, Error> {
    let options = Options {
        vault_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    Client::create_with_vault(folder, vault, "Alice", &[], options).await
}

/// The error of a vault that failed, after which there is no profile.
async fn refused(vault: Arc<dyn KeyVault>) -> VaultError {
    let folder = tempfile::tempdir().unwrap();
    refused_in(&folder.path().join("profile"), vault).await
}

async fn refused_in(folder: &Path, vault: Arc<dyn KeyVault>) -> VaultError {
    let Err(Error::Vault(error)) = create(folder, vault).await else {
        panic!("the vault failed and a profile was made");
    };
    assert!(!folder.exists(), "nothing has been made");
    error
}

#[tokio::test]
async fn a_new_key_is_stored_before_the_profile_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault {
        profile: Some(folder.path().join(PROFILE_FILE)),
        ..Vault::default()
    });
    let client = create(folder.path(), vault.clone()).await.unwrap();
    assert_eq!(client.name().unwrap(), "Alice");
    drop(client);
    assert_eq!(*vault.stored_before_profile.lock().unwrap(), Some(true));
    let key = vault.key.lock().unwrap().clone().unwrap();
    assert_eq!(key.len(), 32);
    let by_key = StorageKey::try_from(key.as_slice()).unwrap();
    Client::open(folder.path(), &by_key, Options::default()).unwrap();

    let again = create(folder.path(), vault.clone()).await;
    assert!(matches!(again, Err(Error::Store(StoreError::Exists))));
    assert_eq!(vault.key.lock().unwrap().clone(), Some(key), "not replaced");
    let options = Options::default();
    let opened = Client::open_with_vault(folder.path(), vault, options).await;
    assert_eq!(opened.unwrap().name().unwrap(), "Alice");
}

#[tokio::test]
async fn a_key_that_is_there_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault {
        key: Mutex::new(Some(vec![7; 32])),
        ..Vault::default()
    });
    drop(create(folder.path(), vault.clone()).await.unwrap());
    assert!(vault.stored_before_profile.lock().unwrap().is_none());
    let key = StorageKey::from_bytes([7; 32]);
    Client::open(folder.path(), &key, Options::default()).unwrap();
}

#[tokio::test]
async fn a_backup_goes_under_the_vaults_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = StorageKey::from_bytes([1; 32]);
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let backup = folder.path().join("backup");
    let client = Client::create(&old, &key, "Alice", &[], Options::default()).unwrap();
    client.export_backup(&backup, "pass").unwrap();
    let vault = Arc::new(Vault::default());
    let options = Options::default();
    let imported = Client::import_backup_with_vault(&backup, "pass", &new, vault.clone(), options);
    assert_eq!(imported.await.unwrap().name().unwrap(), "Alice");
    let opened = Client::open_with_vault(&new, vault, Options::default()).await;
    assert_eq!(opened.unwrap().name().unwrap(), "Alice");
}

#[tokio::test]
async fn an_empty_vault_opens_no_profile() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Arc::new(Vault::default());
    let none = Client::open_with_vault(folder.path(), empty.clone(), Options::default()).await;
    assert!(matches!(none, Err(Error::Store(StoreError::Missing))));
    drop(
        create(folder.path(), Arc::new(Vault::default()))
            .await
            .unwrap(),
    );
    let opened = Client::open_with_vault(folder.path(), empty.clone(), Options::default()).await;
    assert!(matches!(opened, Err(Error::Vault(VaultError::Empty))));
    assert!(empty.key.lock().unwrap().is_none(), "none is drawn");
    *empty.key.lock().unwrap() = Some(vec![3; 32]);
    let wrong = Client::open_with_vault(folder.path(), empty, Options::default()).await;
    assert!(matches!(wrong, Err(Error::Store(StoreError::WrongKey))));
}

#[tokio::test]
async fn a_vault_that_fails_leaves_nothing_behind() {
    let locked = || VaultError::Failed("locked".to_owned());
    let loading = Odd(move || Err(locked()), || Ok(()));
    let error = refused(Arc::new(loading)).await;
    assert_eq!(error, locked());
    assert_eq!(
        error.to_string(),
        "the key vault failed: locked; unlock the device and try again"
    );
    let storing = Odd(|| Ok(None), move || Err(locked()));
    assert_eq!(refused(Arc::new(storing)).await, locked());
    let panicking = Odd(|| panic!("a bug in the app"), || Ok(()));
    let error = refused(Arc::new(panicking)).await;
    assert!(matches!(error, VaultError::Failed(_)), "{error:?}");
    for length in [0, 31, 33] {
        let wrong = Odd(move || Ok(Some(vec![1; length])), || Ok(()));
        assert_eq!(refused(Arc::new(wrong)).await, VaultError::BadKey(length));
    }
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_not_waited_for() {
    let start = Instant::now();
    let (end, blocked) = blocking();
    let loading = Odd(
        move || {
            blocked();
            Ok(None)
        },
        || Ok(()),
    );
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("profile");
    let error = refused_in(&folder, Arc::new(loading)).await;
    assert_eq!(error, VaultError::Timeout);
    // Nor is one behind it for the same profile, which is not even asked; other profiles do not wait.
    let behind = Arc::new(Vault::default());
    assert_eq!(
        refused_in(&folder, behind.clone()).await,
        VaultError::Timeout
    );
    let elsewhere = tempfile::tempdir().unwrap();
    create(elsewhere.path(), Arc::new(Vault::default()))
        .await
        .unwrap();
    drop(end);
    let (end, blocked) = blocking();
    let storing = Odd(
        || Ok(None),
        move || {
            blocked();
            Ok(())
        },
    );
    assert_eq!(refused(Arc::new(storing)).await, VaultError::Timeout);
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(end);
    assert!(behind.key.lock().unwrap().is_none());
}

/// Something that blocks until the first is dropped.
fn blocking() -> (Sender<()>, impl Fn() + Send + Sync) {
    let (end, ended): (_, Receiver<()>) = channel();
    let ended = Mutex::new(ended);
    let blocked = move || {
        let _ = ended.lock().unwrap().recv();
    };
    (end, blocked)
}

#[tokio::test]
async fn a_late_answer_replaces_no_key() {
    for given_up in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let vault = Arc::new(Slow::default());
        let first = create(folder.path(), vault.clone());
        if given_up {
            let limit = Duration::from_millis(100);
            assert!(tokio::time::timeout(limit, first).await.is_err());
        } else {
            let error = first.await.err();
            assert!(matches!(error, Some(Error::Vault(VaultError::Timeout))));
        }
        let start = Instant::now();
        let client = loop {
            match create(folder.path(), vault.clone()).await {
                Ok(client) => break client,
                Err(Error::Vault(VaultError::Timeout)) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(start.elapsed() < Duration::from_secs(10));
        };
        drop(client);
        // By now the first `store` has ended, whatever came between.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(vault.stores.load(Ordering::SeqCst), 1);
        let opened = Client::open_with_vault(folder.path(), vault, Options::default()).await;
        assert_eq!(opened.unwrap().name().unwrap(), "Alice");
    }
}

#[tokio::test]
async fn a_vault_may_call_back_into_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let key = StorageKey::from_bytes([1; 32]);
    let other = folder.path().join("other");
    let other = Client::create(&other, &key, "Bob", &[], Options::default()).unwrap();
    let vault = {
        let (loads, stores) = (other.clone(), other.clone());
        Odd(
            move || {
                loads.create_channel("from load").unwrap();
                Ok(None)
            },
            move || {
                stores.create_channel("from store").unwrap();
                Ok(())
            },
        )
    };
    create(&folder.path().join("new"), Arc::new(vault))
        .await
        .unwrap();
    assert_eq!(other.channels().unwrap().len(), 2);
}
