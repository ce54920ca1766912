package org.ailurus

import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.channels.Channel.Factory.UNLIMITED
import kotlinx.coroutines.channels.Channel as Pipe
import kotlinx.coroutines.flow.count
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Listeners of apps, good ones and bad ones. */
class ListenerTest : ClientTest() {
    @Test
    fun `a listener that throws hears the next event all the same`() = test {
        val alice = profile("Alice")
        val heard = LinkedBlockingQueue<Event>()
        val failures = ArrayDeque(listOf(IllegalStateException("no"), ListenerException.Failed("no"), NotImplementedError("no")))
        alice.listen(listener { event ->
            failures.removeFirstOrNull()?.let { throw it }
            heard.add(event)
        }).use {
            val family = alice.createChannel("family")
            repeat(4) { family.send("$it") }
            alice.syncOnce(BUDGET)
            assertTrue(heard.poll(10, TimeUnit.SECONDS) is Event.Changed)
            assertTrue(failures.isEmpty())
        }
    }

    @Test
    fun `a listener that blocks holds up nobody else, and is told what it missed`() = test {
        val alice = profile("Alice")
        val family = alice.createChannel("family")
        val began = CountDownLatch(1)
        val blocked = CountDownLatch(1)
        val heard = LinkedBlockingQueue<Event>()
        val slow = alice.listen(listener { event ->
            began.countDown()
            blocked.await()
            heard.add(event)
        })
        // The same with a flow, whose collector waits until there is something in the pipe.
        val go = Pipe<Unit>(UNLIMITED)
        val lagged = async(start = CoroutineStart.UNDISPATCHED) {
            alice.events().onEach { if (it !is Event.Lagged) go.receive() }.filterIsInstance<Event.Lagged>().first()
        }
        repeat(1_300) { family.send("$it") }
        alice.syncOnce(BUDGET)
        assertTrue(began.await(10, TimeUnit.SECONDS))
        assertEquals(1_300, family.history(1_000).count())

        blocked.countDown()
        val events = generateSequence { heard.poll(10, TimeUnit.SECONDS) }
        assertTrue(events.filterIsInstance<Event.Lagged>().first().missed > 0uL)
        val pushing = launch { repeat(1_300) { go.send(Unit) } }
        assertTrue(lagged.await().missed > 0uL)
        pushing.cancel()
        slow.stop()
        slow.close()
    }

    @Test
    fun `a listener may call the client`() = test {
        val alice = profile("Alice")
        val family = alice.createChannel("family")
        val read = LinkedBlockingQueue<List<String>>()
        alice.listen(listener { read.add(runBlocking { family.messages(Page.Latest, 10u).texts() }) }).use {
            family.send("hello")
            alice.syncOnce(BUDGET)
            assertEquals(listOf("hello"), read.poll(10, TimeUnit.SECONDS))
        }
    }

    @Test
    fun `a stopped listener hears nothing more`() = test {
        val alice = profile("Alice")
        val heard = LinkedBlockingQueue<Event>()
        val subscription = alice.listen(listener(heard::add))
        subscription.stop()
        alice.createChannel("family").send("hello")
        alice.syncOnce(BUDGET)
        assertNull(heard.poll(200, TimeUnit.MILLISECONDS))
        subscription.stop()
        subscription.close()
    }

    @Test
    fun `logs go to the sink and hold no secret`() = test {
        val records = LinkedBlockingQueue<LogRecord>()
        setLogSink(LogLevel.DEBUG, object : LogSink {
            override fun log(record: LogRecord) {
                records.add(record)
                error("a sink that throws")
            }
        })
        try {
            val alice = profile("Alice-in-the-log")
            val bob = profile("Bob-in-the-log")
            val family = alice.createChannel("family-in-the-log")
            val link = family.link(AccessKind.FULL)
            bob.join(link)
            fails<AilurusException.WrongKey> { Client.open(path("Alice-in-the-log"), ByteArray(32)) }
            alice.listen(listener { error("a listener that throws") }).use {
                val sent = family.send("text-in-the-log")
                alice.setAppState(AppState.FOREGROUND)
                alice.states(sent).first { it == MessageState.AT_NODE }
            }
            bob.syncOnce(BUDGET)

            val log = generateSequence { records.poll(1, TimeUnit.SECONDS) }.toList()
            assertTrue(log.any { it.level == LogLevel.WARN && it.message.startsWith("passed over") }, "$log")
            assertTrue(log.all { it.target.startsWith("ailurus") }, "$log")
            for (secret in listOf("in-the-log", link, KEY.joinToString("") { "%02x".format(it) })) {
                assertTrue(log.none { secret in it.message }, "$log")
            }
        } finally {
            setLogSink(LogLevel.ERROR, null)
        }
    }
}

private fun listener(hear: (Event) -> Unit) = object : Listener {
    override fun onEvent(event: Event) = hear(event)
}
