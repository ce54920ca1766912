package org.ailurus

import kotlinx.coroutines.flow.first
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BadInputTest : ClientTest() {
    @Test
    fun `a folder that cannot be written`() = test {
        val file = folder.resolve("file").toFile().apply { writeText("in the way") }
        for (bad in listOf(file.path, file.path + "/below", "/proc/ailurus", "nul\u0000byte")) {
            val thrown = fails<AilurusException> { Client.create(bad, KEY, "Alice", emptyList()) }
            assertTrue(thrown is AilurusException.ReadOnly || thrown is AilurusException.Io, "$bad: $thrown")
        }
        assertEquals("in the way", file.readText())
    }

    @Test
    fun `a folder without a profile, or with one already`() = test {
        fails<AilurusException.NoProfile> { Client.open(path("Alice"), KEY) }
        profile("Alice")
        fails<AilurusException.ProfileExists> { Client.create(path("Alice"), KEY, "Alice", emptyList()) }
        kept(Client.open(path("Alice"), KEY))
    }

    @Test
    fun `a key that is wrong or none`() = test {
        profile("Alice").shutdown()
        fails<AilurusException.WrongKey> { Client.open(path("Alice"), ByteArray(32)) }
        for (length in listOf(0, 31, 33, 1_000_000)) {
            val thrown = fails<AilurusException.BadInput> { Client.open(path("Alice"), ByteArray(length)) }
            assertTrue("32 bytes" in thrown.message.orEmpty(), thrown.message)
        }
        assertEquals("Alice", kept(Client.open(path("Alice"), KEY)).name())
    }

    @Test
    fun `links that do not parse`() = test {
        val alice = profile("Alice")
        val short = listOf("", " ", "af", "an", "https://example.org", "ailurus:", "\u0000", "\uD83D")
        val links = short + "🦝".repeat(200) + "a".repeat(1_000_000)
        for (link in links) {
            fails<AilurusException.BadLink> { inspectLink(link) }
            fails<AilurusException.BadLink> { alice.join(link) }
            fails<AilurusException.BadLink> { alice.addNode(link) }
            fails<AilurusException.BadLink> { Client.create(path("Bob"), KEY, "Bob", listOf(link)) }
        }
        val family = alice.createChannel("family").link(AccessKind.FULL)
        fails<AilurusException.BadLink> { alice.addNode(family) }
        fails<AilurusException.BadLink> { alice.join(node.link) }
        fails<AilurusException.AlreadyIn> { alice.join(" ailurus:$family\n") }
        assertEquals(LinkInfo.Channel("family", AccessKind.FULL, false), inspectLink(family))
    }

    @Test
    fun `names, texts, ids and limits that cannot be used`() = test {
        val alice = profile("Alice")
        val family = alice.createChannel("family")
        for (name in listOf("", "x".repeat(33), "🦝".repeat(9))) {
            fails<AilurusException.BadInput> { alice.createChannel(name) }
        }
        fails<AilurusException.ChannelExists> { alice.createChannel("family") }
        fails<AilurusException.BadInput> { family.send("") }
        fails<AilurusException.BadInput> { family.send("x".repeat(16 * 1024 + 1)) }
        fails<AilurusException.BadInput> { alice.channel(ChannelId("family")) }
        fails<AilurusException.BadInput> { alice.message(MessageId("🦝")) }
        fails<AilurusException.BadInput> { family.rotate(listOf(PublicKey(""))) }
        fails<AilurusException.NotFound> { alice.message(MessageId("0".repeat(64))) }
        assertEquals(emptyList<Message>(), family.messages(Page.Latest, 0u))
        assertEquals(emptyList<Message>(), family.messages(Page.Latest, UInt.MAX_VALUE))
    }

    @Test
    fun `half a character is sent as a question mark`() = test {
        val family = profile("Alice").createChannel("family")
        family.send("cut \uD83D")
        assertEquals(listOf("cut ?"), family.messages(Page.Latest, 1u).texts())
    }

    @Test
    fun `pictures that hold no code`() = test {
        val (empty, huge) = 0u to UInt.MAX_VALUE
        fails<AilurusException.NoCode> { readQrLuma(empty, empty, empty, ByteArray(0)) }
        fails<AilurusException.NoCode> { readQrLuma(100u, 100u, 100u, ByteArray(10_000)) }
        fails<AilurusException.NoCode> { readQrLuma(100u, 100u, 100u, ByteArray(5)) }
        fails<AilurusException.NoCode> { readQrLuma(100u, 100u, 10u, ByteArray(10_000)) }
        fails<AilurusException.NoCode> { readQrLuma(huge, huge, huge, ByteArray(100)) }
        fails<AilurusException.NoCode> { readQrPng("no picture".toByteArray()) }
        fails<AilurusException.NoCode> { drawQr("x".repeat(10_000)) }
    }

    @Test
    fun `two clients on one folder see each other's messages`() = test {
        val one = profile("Alice")
        val two = kept(Client.open(path("Alice"), KEY))
        val version = two.dataVersion()
        val id = one.createChannel("family").send("from one")
        assertNotEquals(version, two.dataVersion())
        val family = two.findChannel("family")
        assertEquals(listOf("from one"), family.latest(10).first().texts())

        two.syncOnce(BUDGET)
        assertEquals(MessageState.AT_NODE, one.states(id).first())
        one.shutdown()
        family.send("from two")
        assertEquals(listOf("from one", "from two"), family.messages(Page.Latest, 10u).texts())
    }

    @Test
    fun `a call after the channel was left`() = test {
        val family = profile("Alice").createChannel("family")
        family.leave()
        fails<AilurusException.NotFound> { family.send("late") }
        fails<AilurusException.NotFound> { family.summary() }
    }
}
