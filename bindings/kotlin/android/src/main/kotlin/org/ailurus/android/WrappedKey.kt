package org.ailurus.android

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.security.GeneralSecurityException
import javax.crypto.Cipher
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/** The storage key as it lies in a file: version, nonce, and the key under AES-GCM with the version as further data. */
internal object WrappedKey {
    const val KEY_BYTES = 32
    private const val VERSION: Byte = 1
    private const val NONCE_BYTES = 12
    private const val TAG_BYTES = 16
    const val FILE_BYTES = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES
    private const val TRANSFORMATION = "AES/GCM/NoPadding"

    @Throws(GeneralSecurityException::class)
    fun wrap(key: ByteArray, under: SecretKey): ByteArray {
        val cipher = Cipher.getInstance(TRANSFORMATION)
        // The cipher draws the nonce: Android Keystore takes none from outside.
        cipher.init(Cipher.ENCRYPT_MODE, under)
        cipher.updateAAD(byteArrayOf(VERSION))
        return byteArrayOf(VERSION) + cipher.iv + cipher.doFinal(key)
    }

    /** Null if these bytes are not what [wrap] makes. */
    @Throws(GeneralSecurityException::class)
    fun unwrap(bytes: ByteArray, under: SecretKey): ByteArray? {
        if (bytes.size != FILE_BYTES || bytes[0] != VERSION) {
            return null
        }
        val cipher = Cipher.getInstance(TRANSFORMATION)
        cipher.init(Cipher.DECRYPT_MODE, under, GCMParameterSpec(8 * TAG_BYTES, bytes, 1, NONCE_BYTES))
        cipher.updateAAD(bytes, 0, 1)
        return cipher.doFinal(bytes, 1 + NONCE_BYTES, KEY_BYTES + TAG_BYTES)
    }
}

/** Replaces a file whole: after a crash it holds the old bytes or the new ones. */
internal fun File.replace(bytes: ByteArray) {
    val fresh = File(path + ".new")
    FileOutputStream(fresh).use {
        it.write(bytes)
        it.fd.sync()
    }
    if (!fresh.renameTo(this)) {
        fresh.delete()
        throw IOException("$name could not be replaced")
    }
}
