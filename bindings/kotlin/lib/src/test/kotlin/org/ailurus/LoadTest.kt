package org.ailurus

import java.io.File
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.flow.count
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class LoadTest : ClientTest() {
    @Test
    fun `200 calls at once all succeed`() = test {
        val alice = profile("Alice")
        alice.setAppState(AppState.FOREGROUND)
        val family = alice.createChannel("family")
        val sent = withContext(Dispatchers.Default) {
            (1..200).map { number ->
                async {
                    when (number % 4) {
                        0 -> assertEquals("family", alice.channels().single().name)
                        1 -> assertEquals("Alice", alice.name())
                        else -> return@async "$number".also { family.send(it) }
                    }
                    null
                }
            }.awaitAll().filterNotNull()
        }
        assertEquals(100, sent.size)
        assertEquals(sent.sorted(), family.history().toList().texts().sorted())

        val bob = profile("Bob")
        bob.join(family.link(AccessKind.FULL))
        alice.syncOnce(BUDGET)
        assertEquals(sent.sorted(), bob.syncOnce(BUDGET).messages.texts().sorted())
    }

    @Test
    fun `10,000 messages are paged without growing memory`() = test(limit = 120.seconds) {
        val alice = profile("Alice")
        val family = alice.createChannel("family")
        val text = "x".repeat(BYTES)
        // The outbox has 10,000 places, and the profile's introduction takes one of them at first.
        family.send(text)
        alice.syncOnce(BUDGET)
        repeat(MESSAGES - 1) { family.send(text) }

        family.history().take(1_000).count()
        val before = Memory.now()
        repeat(PASSES) { assertEquals(MESSAGES, family.history().count { it.text.length == BYTES }) }
        val after = Memory.now()
        // Kept, each message would take 600 bytes in the heap and 500 outside of it, in each pass.
        assertTrue(after.heap - before.heap < 2 * MEBIBYTE, "the heap grew from $before to $after")
        assertTrue(after.outside - before.outside < 8 * MEBIBYTE, "the process grew from $before to $after")
    }
}

private const val NEEDS_PROC = "to measure the memory beside the heap needs Linux, with /proc"
private const val MESSAGES = 10_000
private const val BYTES = 128
private const val PASSES = 2
private const val MEBIBYTE = 1_048_576L

/** In bytes. The heap is touched as a whole from the start (lib/pom.xml), so what grows outside is native. */
private data class Memory(val heap: Long, val outside: Long) {
    companion object {
        fun now(): Memory {
            repeat(3) {
                System.gc()
                Thread.sleep(50)
            }
            val runtime = Runtime.getRuntime()
            return Memory(runtime.totalMemory() - runtime.freeMemory(), resident())
        }

        /** Pages of 4 KiB; only Linux tells. */
        private fun resident(): Long {
            val statm = File("/proc/self/statm")
            if (!statm.exists()) {
                assertNotEquals("1", System.getenv("AILURUS_CI"), NEEDS_PROC)
                println(NEEDS_PROC)
                return 0
            }
            return statm.readText().split(' ')[1].toLong() * 4_096
        }
    }
}
