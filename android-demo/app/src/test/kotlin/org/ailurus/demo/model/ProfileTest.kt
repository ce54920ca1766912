package org.ailurus.demo.model

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.ailurus.AccessKind
import org.ailurus.AilurusException
import org.ailurus.LinkInfo
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

private const val REDPANDA = "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6"

class ProfileTest : Phones() {
    @Test
    fun `there is no profile before the first start, and one after it`() = test {
        val profile = profile("Alice")
        assertNull(profile.open())

        val client = opened(profile.create(" Alice ", node.link))

        assertEquals("Alice", client.name())
        assertSame(client, profile.open())
        assertSame(client, profile.client.value)
        assertTrue(profile.size() > 0)
    }

    @Test
    fun `an invitation brings its node`() = test {
        val client = opened(profile("Alice").create("Alice"))
        val invitation = Links.find("Come in: ${node.invite()}.")
        val info = invitation.info as LinkInfo.Invitation
        assertSame(Accepted.NodeAdded, Links.accept(client, invitation))
        assertEquals(listOf(info.id), client.nodes().map { it.id })
    }

    @Test
    fun `a screen that goes away takes no profile with it`() = test {
        val profile = profile("Alice")
        var cameBack = false

        coroutineScope {
            val screen = launch {
                profile.create("Alice", node.link)
                cameBack = true
            }
            yield()
            screen.cancel()
            assertEquals("Alice", opened(profile.open()!!).name())
        }

        assertFalse("the screen that is gone went on", cameBack)
    }

    @Test
    fun `a backup opens on a new phone, with its passphrase only`() = test {
        val client = opened(profile("Alice").create("Alice", node.link))
        ChannelsModel(client).create("Rust")
        val backup = ByteArrayOutputStream()
        File(folder, "backup1.tmp").writeText("left when the app was ended")

        profile("Alice").backUp(client, backup, "correct horse")

        val copy = backup.toByteArray()
        val wrong = runCatching { profile("wrong").restore(ByteArrayInputStream(copy), "wrong horse") }
        assertTrue("${wrong.exceptionOrNull()}", wrong.exceptionOrNull() is AilurusException)
        val restored = opened(profile("new").restore(ByteArrayInputStream(copy), "correct horse"))
        assertEquals(listOf("Rust"), restored.channels().map { it.name })
        assertEquals("no copy is left in the cache", emptyList<String>(), folder.list { _, name -> "backup" in name }?.toList())
    }

    @Test
    fun `what is no backup is refused`() = test {
        val refused = runCatching { profile("new").restore(ByteArrayInputStream(ByteArray(100)), "x") }

        assertEquals(Problem.BAD_BACKUP, Problem.of(refused.exceptionOrNull()!!))
    }

    @Test
    fun `links are found in what people send`() = test {
        val client = opened(profile("Alice").create("Alice", node.link))
        val link = client.createChannel("Rust").use { ShareModel(it).share(AccessKind.READ, true).text }

        assertTrue(link.startsWith("ailurus:"))
        assertEquals(link, Links.toShare(link))
        val info = Links.find("Join us here:\n$link\nSee you!").info as LinkInfo.Channel
        assertEquals("Rust", info.name)
        assertEquals(AccessKind.READ, info.access)
        assertTrue(Links.find(" ${node.link}\n").info is LinkInfo.Node)
        val redpanda = Links.find("Our old channel is $REDPANDA, come in").info as LinkInfo.Channel
        assertTrue(redpanda.redpanda)
        assertThrows(AilurusException.BadLink::class.java) { Links.find("hello there") }
        assertThrows(AilurusException.BadLink::class.java) { Links.find("") }
        assertFalse(runCatching { Links.find(link.dropLast(1)) }.isSuccess)
    }
}
