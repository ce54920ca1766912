package org.ailurus

import java.util.concurrent.CountDownLatch
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Key vaults of apps, good ones and bad ones. */
class VaultTest : ClientTest() {
    @Test
    fun `a vault is given a key, and gives it back`() = test {
        val vault = KeptKey()
        kept(Client.createWithVault(path("Alice"), vault, "Alice", emptyList())).shutdown()
        assertEquals(32, vault.key?.size)
        assertEquals("Alice", kept(Client.openWithVault(path("Alice"), vault)).name())
        val old = KeptKey(KEY)
        kept(Client.createWithVault(path("Bob"), old, "Bob", emptyList()))
        assertArrayEquals(KEY, old.key)
    }

    @Test
    fun `a vault that throws`() = test {
        val failures = listOf(
            VaultException.Failed("the screen is locked"),
            IllegalStateException("the screen is locked"),
            NotImplementedError("the screen is locked"),
        )
        for (failure in failures) {
            val vault = object : KeyVault {
                override fun load(): ByteArray? = throw failure
                override fun store(key: ByteArray) = throw failure
            }
            val thrown = fails<AilurusException.Vault> {
                Client.createWithVault(path("Alice"), vault, "Alice", emptyList())
            }
            assertTrue("the screen is locked" in thrown.message.orEmpty(), thrown.message)
        }
        fails<AilurusException.NoProfile> { Client.open(path("Alice"), KEY) }
    }

    @Test
    fun `a vault that holds no key, or no real one`() = test {
        profile("Alice").shutdown()
        for (key in listOf(null, ByteArray(0), ByteArray(31), ByteArray(33))) {
            fails<AilurusException.Vault> { Client.openWithVault(path("Alice"), KeptKey(key)) }
        }
        fails<AilurusException.WrongKey> { Client.openWithVault(path("Alice"), KeptKey(ByteArray(32))) }
    }

    @Test
    fun `a vault that blocks holds up nobody else, and whoever waits can give up`() = test {
        val other = profile("Bob")
        profile("Alice").shutdown()
        val asked = CountDownLatch(1)
        val blocked = CountDownLatch(1)
        val vault = object : KeyVault {
            override fun load(): ByteArray {
                asked.countDown()
                blocked.await()
                return KEY
            }

            override fun store(key: ByteArray) = Unit
        }
        try {
            val opening = async(Dispatchers.Default) { Client.openWithVault(path("Alice"), vault) }
            asked.await()
            withTimeout(5_000) { assertEquals("Bob", other.name()) }
            assertTrue(opening.isActive)
            withTimeout(3_000) { opening.cancelAndJoin() }
        } finally {
            blocked.countDown()
        }
        delay(50.milliseconds)
        assertEquals("Alice", kept(Client.openWithVault(path("Alice"), KeptKey(KEY))).name())
    }

    @Test
    fun `a vault may call a client`() = test {
        val other = profile("Bob")
        val vault = object : KeyVault {
            override fun load(): ByteArray? = null
            override fun store(key: ByteArray) = runBlocking {
                other.createChannel("asked")
                Unit
            }
        }
        kept(Client.createWithVault(path("Alice"), vault, "Alice", emptyList()))
        assertEquals("asked", other.channels().single().name)
    }
}

private class KeptKey(var key: ByteArray? = null) : KeyVault {
    override fun load(): ByteArray? = key
    override fun store(key: ByteArray) {
        this.key = key
    }
}
