package org.ailurus.demo.model

import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import org.ailurus.AccessKind
import org.ailurus.AilurusException
import org.ailurus.ChannelId
import org.ailurus.Client
import org.ailurus.Event
import org.ailurus.Listener
import org.ailurus.MessageState
import org.ailurus.QrCode
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ChatTest : Phones() {
    @Test
    fun `two phones join by a picture and chat`() = test {
        val alice = phone("Alice")
        val bob = phone("Bob")
        val here = ChatModel(alice, alice.channel(ChannelsModel(alice).create(" Rust ")))
        val there = ChatModel(bob, bob.channel(scanned(alice, bob, AccessKind.FULL)))

        assertFalse(here.send("  "))
        assertTrue(here.send("hello Bob"))
        here.rows.until { rows -> rows.any { it.text == "hello Bob" && it.state == MessageState.AT_NODE } }
        val received = there.rows.until { rows -> rows.any { it.text == "hello Bob" } }.last()
        assertEquals("Alice", received.author)
        assertEquals(MessageState.RECEIVED, received.state)

        assertEquals(1uL, ChannelsModel(bob).channels.first().single().unread)
        there.markRead(received.id)
        assertEquals(0uL, ChannelsModel(bob).channels.first().single().unread)

        there.send("hello Alice")
        here.rows.until { rows -> rows.any { it.text == "hello Alice" && it.author == "Bob" } }

        there.delete(received.id)
        there.rows.until { rows -> rows.none { it.id == received.id } }
    }

    @Test
    fun `earlier messages come on demand`() = test {
        val alice = phone("Alice")
        val chat = ChatModel(alice, alice.channel(ChannelsModel(alice).create("Rust")))
        repeat(ChatModel.PAGE + 5) { chat.send("message $it") }

        assertEquals(ChatModel.PAGE, chat.rows.first().size)
        chat.earlier()
        assertEquals(ChatModel.PAGE + 5, chat.rows.first().size)
    }

    @Test
    fun `a reader may not write`() = test {
        val alice = phone("Alice")
        val bob = phone("Bob")
        ChannelsModel(alice).create("Rust")
        val channel = bob.channel(scanned(alice, bob, AccessKind.READ))
        val chat = ChatModel(bob, channel)

        assertFalse(ChatModel.maySend(chat.summary.first()))
        val refused = runCatching { chat.send("hello") }.exceptionOrNull()!!
        assertEquals(Problem.NOT_ALLOWED, Problem.of(refused))
        assertEquals(listOf(AccessKind.READ), ShareModel(channel).offers())
    }

    @Test
    fun `members have one safety number, and an admin leaves one out`() = test {
        val alice = phone("Alice")
        val bob = phone("Bob")
        val id = ChannelsModel(alice).create("Rust")
        val joined = bob.channel(scanned(alice, bob, AccessKind.FULL))
        val members = MembersModel(alice, alice.channel(id))
        ChatModel(alice, alice.channel(id)).send("hello Bob")
        ChatModel(bob, joined).rows.until { it.isNotEmpty() }
        ChatModel(bob, joined).send("hello Alice")

        val seen = members.members.until { now -> now.members.any { it.name == "Bob" } }
        val bobsView = MembersModel(bob, joined).members.until { now -> now.members.any { it.name == "Alice" } }
        val carried = seen.members.single { it.name == "Bob" }
        assertEquals(carried.safetyNumber, bobsView.members.single { it.name == "Alice" }.safetyNumber)
        assertEquals(60, MembersModel.inGroups(carried.safetyNumber).count { it.isDigit() })
        assertTrue(seen.mayLeaveOut(carried))
        assertFalse(seen.mayLeaveOut(seen.members.single { it.own }))
        assertFalse(bobsView.channel.admin)

        members.rotateWithout(carried)
        assertTrue(members.members.first().members.none { it.name == "Bob" && !it.removed })
    }

    @Test
    fun `a channel is renamed, muted and left`() = test {
        val alice = phone("Alice")
        val members = MembersModel(alice, alice.channel(ChannelsModel(alice).create("Rust")))

        members.rename(" Kotlin ")
        members.mute(true)
        assertEquals("Kotlin" to true, members.members.first().channel.let { it.name to it.muted })
        members.leave()

        assertTrue(ChannelsModel(alice).channels.first().isEmpty())
        val gone = runCatching { members.members.first() }.exceptionOrNull()
        assertTrue("$gone", gone is AilurusException.NotFound)
    }

    @Test
    fun `what comes is announced, and nothing of a muted or open channel`() = test {
        val alice = phone("Alice")
        val bob = phone("Bob")
        val id = ChannelsModel(alice).create("Rust")
        val chat = ChatModel(bob, bob.channel(scanned(alice, bob, AccessKind.FULL)))
        val announcer = Announcer(alice)
        val heard = mutableListOf<Event>()

        suspend fun afterHearing(text: String): List<Announcement> {
            heard.clear()
            alice.listening(heard) {
                chat.send(text)
                while (synchronized(heard) { heard.none { it is Event.Received && it.message.text == text } }) {
                    delay(20)
                }
            }
            return synchronized(heard) { heard.toList() }.mapNotNull { announcer.announce(it) }
        }

        val first = afterHearing("hello")
        val message = first.filterIsInstance<Announcement.Messages>().single()
        assertEquals(listOf("Bob", "hello", "Rust"), listOf(message.author, message.text, message.channel.name))
        assertEquals("Bob", first.filterIsInstance<Announcement.Joined>().single().name)

        val turned = Any()
        announcer.watch(turned, id)
        announcer.watch(this, id)
        announcer.unwatch(turned)
        assertEquals(emptyList<Announcement>(), afterHearing("seen at once"))
        announcer.unwatch(this)
        assertEquals(3, (afterHearing("counted").single() as Announcement.Messages).count)
        MembersModel(alice, alice.channel(id)).mute(true)
        assertEquals(emptyList<Announcement>(), afterHearing("muted"))
    }

    @Test
    fun `a frame without a code holds no link`() {
        assertNull(Links.inFrame(64, 48, 64, ByteArray(64 * 48) { (it * 31).toByte() }))
    }

    /** Bob's camera before Alice's screen. */
    private suspend fun scanned(alice: Client, bob: Client, access: AccessKind): ChannelId {
        val share = ShareModel(alice.channel(alice.channels().single().id)).share(access, true)
        val scale = 4
        val side = share.code.width.toInt() * scale
        val stride = side + 13
        val found = Links.inFrame(side, side, stride, luma(share.code, scale, stride))!!
        assertEquals(share.text, Links.toShare(found.text))
        return (Links.accept(bob, found) as Accepted.Joined).channel
    }

    private fun luma(code: QrCode, scale: Int, stride: Int): ByteArray {
        val side = code.width.toInt()
        val luma = ByteArray(stride * side * scale)
        for (y in 0 until side * scale) {
            for (x in 0 until side * scale) {
                luma[y * stride + x] = if (code.modules[y / scale * side + x / scale] == 1.toByte()) 10 else -20
            }
        }
        return luma
    }

    private suspend fun Client.listening(heard: MutableList<Event>, work: suspend () -> Unit) {
        val subscription = listen(object : Listener {
            override fun onEvent(event: Event) {
                synchronized(heard) { heard.add(event) }
            }
        })
        try {
            work()
        } finally {
            subscription.stop()
            subscription.close()
        }
    }
}
