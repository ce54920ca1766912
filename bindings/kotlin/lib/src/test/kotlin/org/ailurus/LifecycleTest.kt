package org.ailurus

import java.net.DatagramSocket
import java.net.InetSocketAddress
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.supervisorScope
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Calls that end before they are done, and clients that end while they are called. */
class LifecycleTest : ClientTest() {
    @Test
    fun `a cancelled coroutine ends its call`() = withSilentNode { client, channel ->
        val queued = channel.send("waits")
        val calls = listOf<suspend () -> Unit>(
            { client.syncOnce(LONG) },
            { client.onPush(ByteArray(0)) },
            { client.waitDelivered(queued, LONG) },
        )
        for (call in calls) {
            val running = launch(Dispatchers.Default) { call() }
            delay(200.milliseconds)
            assertTrue(running.isActive)
            assertPrompt { running.cancelAndJoin() }
            assertEquals(listOf("waits"), channel.messages(Page.Latest, 10u).texts())
        }
    }

    @Test
    fun `a cancellation ends the calls that it was given to`() = withSilentNode { client, channel ->
        val queued = channel.send("waits")
        Cancellation().use { cancellation ->
            supervisorScope {
                val calls = listOf(
                    async { client.syncOnce(LONG, cancellation) },
                    async { client.waitDelivered(queued, LONG, cancellation) },
                )
                delay(200.milliseconds)
                cancellation.cancel()
                assertPrompt { calls.forEach { fails<AilurusException.Cancelled> { it.await() } } }
            }
            fails<AilurusException.Cancelled> { client.syncOnce(LONG, cancellation) }
        }
        assertEquals(listOf("waits"), channel.messages(Page.Latest, 10u).texts())
    }

    @Test
    fun `a shutdown ends the calls that run`() = withSilentNode { client, channel ->
        val queued = channel.send("waits")
        supervisorScope {
            val calls = listOf(
                async { client.syncOnce(LONG) },
                async { client.waitDelivered(queued, LONG) },
            )
            delay(200.milliseconds)
            assertPrompt {
                client.shutdown()
                calls.forEach { fails<AilurusException.Closed> { it.await() } }
            }
        }
        fails<AilurusException.Closed> { client.channels() }
        fails<AilurusException.Closed> { channel.send("late") }
        client.shutdown()
    }

    @Test
    fun `a client that is closed while it is called finishes the call and shuts down`() = withSilentNode { client, channel ->
        supervisorScope {
            val call = async { client.syncOnce(java.time.Duration.ofSeconds(1)) }
            delay(200.milliseconds)
            client.close()
            assertEquals(0uL, call.await().nodesReached)
        }
        fails<IllegalStateException> { client.channels() }
        client.close()
        assertPrompt {
            while (runCatching { channel.summary() }.exceptionOrNull() !is AilurusException.Closed) {
                delay(10.milliseconds)
            }
        }
        channel.close()
        fails<IllegalStateException> { channel.send("later") }
    }

    @Test
    fun `a suspended client refuses until it is resumed`() = withSilentNode { client, channel ->
        supervisorScope {
            val call = async { client.syncOnce(LONG) }
            delay(200.milliseconds)
            client.suspend()
            assertPrompt { fails<AilurusException.Suspended> { call.await() } }
        }
        fails<AilurusException.Suspended> { channel.send("no") }
        fails<AilurusException.Suspended> { client.syncOnce(LONG) }
        client.suspend()
        client.resume()
        client.resume()
        channel.send("yes")
        assertEquals(listOf("yes"), channel.messages(Page.Latest, 10u).texts())
    }

    @Test
    fun `clients are made and ended at once without harm`() = test {
        (1..8).map { number ->
            launch(Dispatchers.Default) {
                val client = profile("Alice$number")
                client.setAppState(AppState.FOREGROUND)
                val sending = launch {
                    runCatching { client.createChannel("family").send("hello") }
                }
                delay((number * 7).milliseconds)
                client.close()
                sending.join()
            }
        }.forEach { it.join() }
    }

    /** A client whose only super node takes packets and never answers. */
    private fun withSilentNode(block: suspend CoroutineScope.(Client, Channel) -> Unit) = test {
        val stopped = Node.start()
        val port = stopped.port
        stopped.close()
        DatagramSocket(InetSocketAddress("127.0.0.1", port)).use {
            val client = profile("Alice", listOf(stopped.link))
            block(client, client.createChannel("family"))
        }
    }
}

/** What ends a call ends it long before its time is over, also on a busy machine. */
private suspend fun assertPrompt(limit: Duration = 3.seconds, block: suspend () -> Unit) {
    val taken = measureTime { block() }
    assertTrue(taken < limit, "it took $taken")
}
