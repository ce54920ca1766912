package org.ailurus.android

import android.content.Context
import android.os.UserManager
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.KeyProperties
import android.security.keystore.UserNotAuthenticatedException
import java.io.File
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.ProviderException
import javax.crypto.AEADBadTagException
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import org.ailurus.KeyVault
import org.ailurus.VaultException

/**
 * Keeps the storage key of one profile: in a private file, under an AES-GCM key that Android Keystore made and does
 * not give away. The file is no part of backups, because on another phone it would open nothing.
 *
 * @param alias the name of the key in Android Keystore, one for each profile: 1 to 64 of letters, digits, `.`, `_`, `-`.
 */
public class AndroidKeystoreVault @JvmOverloads constructor(
    private val context: Context,
    private val alias: String = "ailurus",
) : KeyVault {
    private val file: File

    init {
        require(alias.matches(Regex("[A-Za-z0-9._-]{1,64}"))) { "$alias is no name for a key" }
        file = File(context.noBackupFilesDir, "$alias.storage-key")
    }

    /** @throws VaultException.Failed with a sentence for people. */
    override fun load(): ByteArray? = guarded {
        if (!file.exists()) {
            return@guarded null
        }
        val key = keystoreKey() ?: throw failed(KEY_GONE)
        WrappedKey.unwrap(file.readBytes(), key) ?: throw failed(DAMAGED)
    }

    /** @throws VaultException.Failed with a sentence for people. */
    override fun store(key: ByteArray): Unit = guarded {
        if (key.size != WrappedKey.KEY_BYTES) {
            throw failed("A storage key has ${WrappedKey.KEY_BYTES} bytes, not ${key.size}.")
        }
        file.replace(WrappedKey.wrap(key, keystoreKey() ?: newKeystoreKey()))
    }

    /** Forgets the storage key, on which the profile can never be opened again. */
    public fun clear(): Unit = guarded {
        keystore().deleteEntry(alias)
        if (!file.delete() && file.exists()) {
            throw IOException("${file.name} could not be deleted")
        }
    }

    private fun keystore(): KeyStore = KeyStore.getInstance(PROVIDER).apply { load(null) }

    private fun keystoreKey(): SecretKey? = keystore().getKey(alias, null) as SecretKey?

    private fun newKeystoreKey(): SecretKey {
        // No authentication is asked for: polls run while nobody holds the phone.
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val parameters = KeyGenParameterSpec.Builder(alias, purposes)
            .setKeySize(256)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .build()
        val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER)
        generator.init(parameters)
        return generator.generateKey()
    }

    private fun <T> guarded(work: () -> T): T {
        if (context.getSystemService(UserManager::class.java)?.isUserUnlocked == false) {
            throw failed(LOCKED)
        }
        return try {
            work()
        } catch (exception: GeneralSecurityException) {
            throw failed(sentence(exception), exception)
        } catch (exception: ProviderException) {
            throw failed(sentence(exception), exception)
        } catch (exception: IOException) {
            throw failed(sentence(exception), exception)
        }
    }
}

private const val PROVIDER = "AndroidKeyStore"
private const val KEY_GONE =
    "Android Keystore no longer holds the key of this profile; restore the profile from a backup."
private const val DAMAGED = "The file with the storage key is damaged; restore the profile from a backup."
private const val LOCKED = "The phone has not been unlocked since it was started; unlock it once."

internal fun sentence(exception: Exception): String = when (exception) {
    is UserNotAuthenticatedException -> "Android Keystore is locked; unlock the phone and open the app again."
    is KeyPermanentlyInvalidatedException -> KEY_GONE
    is AEADBadTagException -> DAMAGED
    is IOException -> "The file with the storage key cannot be read or written: ${exception.message}."
    else -> "Android Keystore failed (${exception.javaClass.simpleName}); start the phone anew and open the app again."
}

private fun failed(sentence: String, cause: Exception? = null): VaultException =
    VaultException.Failed(sentence).apply { cause?.let { initCause(it) } }
