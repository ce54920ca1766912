package org.ailurus

import java.io.ByteArrayInputStream
import javax.imageio.ImageIO
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.takeWhile
import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ChatTest : ClientTest() {
    @Test
    fun `a channel is joined by an image, and both sides hear each other live`() = test {
        val alice = profile("Alice")
        val bob = profile("Bob")
        alice.setAppState(AppState.FOREGROUND)
        bob.setAppState(AppState.FOREGROUND)
        val family = alice.createChannel("family")

        val joined = bob.join(photographed(family.link(AccessKind.FULL)))
        val heard = async(start = CoroutineStart.UNDISPATCHED) {
            bob.events().filterIsInstance<Event.Received>().first().message
        }
        val hello = family.send("hello Bob")
        assertEquals("hello Bob", heard.await().text)
        assertEquals("Alice", heard.await().authorName)
        assertEquals(MessageState.AT_NODE, alice.states(hello).first { it != MessageState.QUEUED })

        joined.send("hello Alice")
        val messages = family.latest(50).first { it.size == 2 }
        assertEquals(listOf("hello Bob", "hello Alice"), messages.texts())
        assertEquals(listOf(true, false), messages.map { it.own })
        assertEquals(setOf("Alice", "Bob"), family.members().map { it.name }.toSet())
    }

    @Test
    fun `who was away catches up in one sync`() = test {
        val alice = profile("Alice")
        val bob = profile("Bob")
        val family = alice.createChannel("family")
        bob.join(family.link(AccessKind.FULL))
        listOf("one", "two", "three").forEach { family.send(it) }
        assertTrue(alice.syncOnce(BUDGET).complete)

        val report = bob.syncOnce(BUDGET)
        assertEquals(listOf("one", "two", "three"), report.messages.texts())
        assertTrue(report.complete)
        assertEquals(1uL, report.nodesReached)
        assertEquals(3uL, bob.channels().single().unread)
        assertEquals(emptyList<Message>(), bob.syncOnce(BUDGET).messages)
    }

    @Test
    fun `who reads cannot write, and who writes cannot read`() = test {
        val alice = profile("Alice")
        val bob = profile("Bob")
        val carol = profile("Carol")
        val family = alice.createChannel("family")
        val reads = bob.join(family.link(AccessKind.READ))
        val writes = carol.join(family.link(AccessKind.WRITE))

        fails<AilurusException.NotAllowed> { reads.send("no") }
        fails<AilurusException.NotAllowed> { reads.link(AccessKind.FULL) }
        fails<AilurusException.NotAllowed> { writes.link(AccessKind.READ) }

        family.send("for readers")
        writes.send("from a writer")
        carol.syncOnce(BUDGET)
        alice.syncOnce(BUDGET)
        bob.syncOnce(BUDGET)
        carol.syncOnce(BUDGET)
        assertEquals(setOf("for readers", "from a writer"), reads.messages(Page.Latest, 50u).texts().toSet())
        assertEquals(listOf("from a writer"), writes.messages(Page.Latest, 50u).texts())
    }

    @Test
    fun `the newest messages are told again when one arrives, also after a rotation`() = test {
        val alice = profile("Alice")
        val bob = profile("Bob")
        val family = alice.createChannel("family")
        val other = alice.createChannel("other")
        val joined = bob.join(family.link(AccessKind.FULL))
        joined.send("before")
        bob.syncOnce(BUDGET)
        alice.syncOnce(BUDGET)
        bob.syncOnce(BUDGET)

        val told = async(start = CoroutineStart.UNDISPATCHED) {
            family.latest(2).map { it.texts() }.onEach { if (it == listOf("before")) other.send("aside") }
                // The rotation gives the messages another channel id, which makes another page of the same texts.
                .distinctUntilChanged().takeWhile { it != listOf("before", "after") }.toList()
        }
        val rotated = family.rotate(emptyList())
        alice.syncOnce(BUDGET)
        bob.syncOnce(BUDGET)
        joined.send("after")
        bob.syncOnce(BUDGET)
        alice.syncOnce(BUDGET)
        assertEquals(listOf(listOf("before")), told.await())
        assertEquals(rotated.channel, family.summary().id)
        assertEquals(rotated.channel, joined.summary().id)
    }

    @Test
    fun `history goes from the newest to the oldest, a page at a time`() = test {
        val alice = profile("Alice", nodes = emptyList())
        val family = alice.createChannel("family")
        val sent = (1..25).map { "$it" }
        sent.forEach { family.send(it) }
        assertEquals(sent.reversed(), family.history(pageSize = 10).toList().texts())
        assertEquals(sent.reversed().take(3), family.history(pageSize = 1).take(3).toList().texts())
        assertFalse(runCatching { family.history(pageSize = 0) }.isSuccess)
    }

    @Test
    fun `a backup brings a profile to another phone`() = test {
        val alice = profile("Alice", nodes = emptyList())
        alice.createChannel("family").send("kept")
        val backup = path("backup")
        alice.exportBackup(backup, "correct horse")

        val key = ByteArray(32) { 7 }
        fails<AilurusException.WrongKey> { Client.importBackup(backup, "wrong horse", path("wrong"), key) }
        fails<AilurusException.BadBackup> {
            folder.resolve("text").toFile().writeText("no backup")
            Client.importBackup(path("text"), "correct horse", path("bad"), key)
        }
        val again = kept(Client.importBackup(backup, "correct horse", path("again"), key))
        assertEquals("Alice", again.name())
        assertEquals(listOf("kept"), again.findChannel("family").messages(Page.Latest, 10u).texts())
    }
}

/** What a camera sees of a QR code: brightness, in rows that are longer than the picture is wide. */
private fun photographed(link: String): String {
    val image = ImageIO.read(ByteArrayInputStream(drawQrPng(link, 4u)))
    val stride = image.width + 13
    val luma = ByteArray(stride * image.height) { 0x55 }
    for (y in 0 until image.height) {
        for (x in 0 until image.width) {
            luma[y * stride + x] = image.raster.getSample(x, y, 0).let { if (it == 0) 0 else 0xff }.toByte()
        }
    }
    return readQrLuma(image.width.toUInt(), image.height.toUInt(), stride.toUInt(), luma).single()
}
