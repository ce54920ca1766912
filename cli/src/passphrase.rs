//! Passphrases, from the environment or a terminal; a command never waits where nobody can answer.

use std::io::{self, IsTerminal as _};

use zeroize::Zeroizing;

use crate::exit::CliError;

/// A passphrase, wiped on drop.
pub type Passphrase = Zeroizing<String>;

/// The passphrase of a profile that exists.
pub fn of_profile() -> Result<Passphrase, CliError> {
    match from_env(STORAGE)? {
        Some(passphrase) => Ok(passphrase),
        None => ask("Passphrase: "),
    }
}

/// The passphrase of a profile that is being made; typed twice.
pub fn new_profile() -> Result<Passphrase, CliError> {
    if let Some(passphrase) = from_env(STORAGE)? {
        return Ok(passphrase);
    }
    let first = ask("New passphrase: ")?;
    let second = ask("The same again: ")?;
    if *first != *second {
        return Err(CliError::PassphraseDiffers);
    }
    Ok(first)
}

/// The passphrase of a backup, if it has one of its own.
pub fn of_backup() -> Result<Option<Passphrase>, CliError> {
    from_env(BACKUP)
}

const STORAGE: &str = "AILURUS_PASSPHRASE";
const BACKUP: &str = "AILURUS_BACKUP_PASSPHRASE";

fn from_env(variable: &'static str) -> Result<Option<Passphrase>, CliError> {
    let Some(value) = std::env::var_os(variable) else {
        return Ok(None);
    };
    let passphrase = Zeroizing::new(
        value
            .into_string()
            .map_err(|_| CliError::PassphraseNotText(variable))?,
    );
    if passphrase.is_empty() {
        return Err(CliError::PassphraseEmpty(variable));
    }
    Ok(Some(passphrase))
}

fn ask(prompt: &str) -> Result<Passphrase, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::NoPassphrase);
    }
    let passphrase =
        Zeroizing::new(rpassword::prompt_password(prompt).map_err(|_| CliError::NoPassphrase)?);
    if passphrase.is_empty() {
        return Err(CliError::PassphraseEmpty("the passphrase"));
    }
    Ok(passphrase)
}
