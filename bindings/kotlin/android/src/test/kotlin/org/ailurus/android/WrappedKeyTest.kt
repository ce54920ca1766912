package org.ailurus.android

import java.io.File
import java.nio.file.Path
import javax.crypto.AEADBadTagException
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class WrappedKeyTest {
    private val under = aes()
    private val key = ByteArray(WrappedKey.KEY_BYTES) { it.toByte() }

    @Test
    fun `a wrapped key comes back, and no two files are alike`() {
        val file = WrappedKey.wrap(key, under)

        assertEquals(WrappedKey.FILE_BYTES, file.size)
        assertArrayEquals(key, WrappedKey.unwrap(file, under))
        assertFalse(file.contentEquals(WrappedKey.wrap(key, under)))
    }

    @Test
    fun `the key is not in the file`() {
        val file = WrappedKey.wrap(key, under).toList()

        assertFalse(file.windowed(4).any { it == key.take(4) })
    }

    @Test
    fun `another key does not open it`() {
        val file = WrappedKey.wrap(key, under)

        assertThrows(AEADBadTagException::class.java) { WrappedKey.unwrap(file, aes()) }
    }

    @Test
    fun `no changed byte is accepted`() {
        val file = WrappedKey.wrap(key, under)
        for (at in file.indices) {
            val changed = file.clone().also { it[at] = (it[at] + 1).toByte() }
            if (at == 0) {
                assertNull(WrappedKey.unwrap(changed, under))
            } else {
                assertThrows(AEADBadTagException::class.java) { WrappedKey.unwrap(changed, under) }
            }
        }
    }

    @Test
    fun `no other length is accepted`() {
        val file = WrappedKey.wrap(key, under)

        assertNull(WrappedKey.unwrap(ByteArray(0), under))
        assertNull(WrappedKey.unwrap(file.copyOf(file.size - 1), under))
        assertNull(WrappedKey.unwrap(file + 0, under))
    }

    @Test
    fun `a file is replaced whole, and nothing is left beside it`(@TempDir folder: Path) {
        val file = File(folder.toFile(), "key")

        file.replace(byteArrayOf(1))
        file.replace(byteArrayOf(2, 3))

        assertArrayEquals(byteArrayOf(2, 3), file.readBytes())
        assertEquals(listOf("key"), folder.toFile().list()?.toList())
    }

    private fun aes(): SecretKey = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
}
