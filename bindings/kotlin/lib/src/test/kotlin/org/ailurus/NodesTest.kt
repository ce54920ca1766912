package org.ailurus

import java.time.Instant
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class NodesTest : ClientTest() {
    @Test
    fun `the node that answers is the active one`() = test {
        val alice = profile("Alice")
        alice.createChannel("family").send("hello")
        assertTrue(alice.syncOnce(BUDGET).complete)

        val status = alice.nodes().single()
        assertEquals(node.link, status.link)
        assertEquals("127.0.0.1" to node.port, status.host to status.port.toInt())
        assertEquals(NodeState.ACTIVE, status.state, status.reason)
        assertNull(status.hopCount, "nobody introduced Alice")
        assertNotNull(status.rtt)
        assertTrue(status.reason.isNotBlank())
    }

    @Test
    fun `nodes are added and removed while all of them are away`() = test {
        val away = Node.start().apply { close() }
        val alice = profile("Alice")
        alice.addNode(away.link)
        assertEquals(setOf(node.link, away.link), alice.nodes().map { it.link }.toSet())

        val gone = (inspectLink(away.link) as LinkInfo.Node).id
        alice.removeNode(gone)
        assertEquals(listOf(node.link), alice.nodes().map { it.link })
        fails<AilurusException.NotFound> { alice.removeNode(gone) }
        fails<AilurusException.BadInput> { alice.removeNode(NodeKey("no key")) }
    }

    @Test
    fun `of two nodes the one that answers is the active one`() = test {
        val away = Node.start().apply { close() }
        val alice = profile("Alice", listOf(away.link, node.link))
        alice.createChannel("family")
        assertEquals(1uL, alice.syncOnce(BUDGET).nodesReached)
        val states = alice.nodes().associate { it.link to it.state }
        assertEquals(NodeState.ACTIVE, states[node.link])
        // Down, or a standby if the other was so quick that nothing was made of the silence.
        assertTrue(states[away.link] in setOf(NodeState.DOWN, NodeState.STANDBY), states.toString())
    }

    @Test
    fun `an invitation brings its node, and the right to introduce others to it`() = test {
        val alice = profile("Alice", emptyList())
        val family = alice.createChannel("family")
        fails<AilurusException.NotAllowed> { family.introduce() }

        val invitation = node.invite()
        val info = inspectLink("ailurus:$invitation") as LinkInfo.Invitation
        assertEquals(node.port, info.port.toInt())
        assertTrue(info.expires > Instant.now())
        alice.addInvitation(invitation)
        assertEquals(info.id, alice.nodes().single().id)
        assertTrue(alice.syncOnce(BUDGET).complete)
        val status = alice.nodes().single()
        assertEquals(1, status.hopCount?.toInt(), status.reason)
        family.introduce()
    }

    @Test
    fun `what is no invitation is refused`() = test {
        val alice = profile("Alice")
        val invitation = node.invite()
        for (bad in listOf("", "ai", node.link, invitation.dropLast(1), "$invitation.")) {
            fails<AilurusException.BadLink> { alice.addInvitation(bad) }
        }
        fails<AilurusException.BadLink> { alice.addNode(invitation) }
        fails<AilurusException.BadLink> { alice.join(invitation) }
        assertEquals(listOf(node.link), alice.nodes().map { it.link })
    }

    @Test
    fun `a build without the DHT says so`() = test {
        for (mode in listOf(DhtMode.Public, DhtMode.Bootstrap(listOf("127.0.0.1:1")))) {
            val thrown = fails<AilurusException.BadInput> {
                Client.create(path("Alice"), KEY, "Alice", emptyList(), Options(dht = mode))
            }
            assertTrue("DHT" in thrown.message.orEmpty(), thrown.message)
        }
        assertEquals(0uL, profile("Alice").findNodes(), "off, so nothing is found")
    }
}
