package org.ailurus

import java.time.Duration
import java.time.Instant
import java.time.ZoneOffset
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The plan, what was spent, and push, against a real super node. */
class BatteryTest : ClientTest() {
    @Test
    fun `the plan follows what the phone and the user tell`() = test {
        val alice = profile("Alice")
        suspend fun wait() = Duration.between(Instant.now(), alice.plan().wakeup!!.at)

        val usual = wait()
        assertEquals(alice.nextWakeup(), alice.plan().wakeup)
        alice.setPreference(Preference.FRUGAL)
        assertEquals(Preference.FRUGAL, alice.preference())
        assertTrue(wait() > usual, "usually $usual")
        alice.setPower(PowerState(80u, charging = false, saver = false, doze = true, bucket = StandbyBucket.FREQUENT))
        assertTrue(wait() > Duration.ofHours(7))
        alice.setNetwork(NetworkState(NetworkKind.OFFLINE, metered = false, roaming = false))
        assertNull(alice.nextWakeup(), "no network, no attempt")
        alice.setNetwork(NetworkState(NetworkKind.CELLULAR, metered = true, roaming = false))
        alice.setAppState(AppState.FOREGROUND)
        assertTrue(alice.plan().live)
        assertNull(alice.nextWakeup())
    }

    @Test
    fun `what was spent is told by reason and network`() = test {
        val alice = profile("Alice")
        alice.setNetwork(NetworkState(NetworkKind.CELLULAR, metered = true, roaming = false))
        alice.createChannel("family").send("hello")
        alice.syncOnce(BUDGET)

        val report = alice.usage()
        val today = report.today
        assertTrue(today.total.wakeups in 1uL..3uL, "${today.total}")
        assertTrue(today.total.bytesSent > 200uL && today.total.bytesReceived > 200uL, "${today.total}")
        assertTrue(today.total.radioHigh in Duration.ofSeconds(1)..Duration.ofMinutes(1), "${today.total}")
        assertEquals(setOf(NetworkKind.CELLULAR), today.rows.map { it.network }.toSet())
        assertEquals(today.total.bytesSent, today.rows.map { it.usage.bytesSent }.sum())
        assertTrue(report.week.from < today.from)
        assertNotEquals(
            alice.usage(ZoneOffset.ofHours(0)).today.from,
            alice.usage(ZoneOffset.ofHours(7)).today.from,
            "midnight is elsewhere",
        )
    }

    @Test
    fun `a node names its key for push, and is told of an endpoint`() = test {
        val alice = profile("Alice")
        val node = alice.nodes().single().id
        val key = alice.webPushKey(node)!!
        assertEquals(87, key.length, "65 bytes in base64url")
        assertFalse('=' in key || '+' in key || '/' in key, key)

        assertEquals(PushState.Off, alice.pushStatus(node).state)
        val secret = "c2VjcmV0IHNlY3JldCBzZQ"
        alice.setWebPush(node, "https://push.example/secret", key, secret)
        assertEquals(PushState.Waiting, alice.pushStatus(node).state)
        alice.clearPush(node)
        assertNotEquals(PushState.Waiting, alice.pushStatus(node).state)
        for (bad in listOf("", "no base64", key)) {
            fails<AilurusException.BadInput> { alice.setWebPush(node, "https://push.example/secret", key, bad) }
        }
        fails<AilurusException.NotFound> { alice.clearPush(NodeKey("00".repeat(32))) }
    }

    @Test
    fun `a token goes to the nodes in use`() = test {
        val alice = profile("Alice")
        alice.setPushToken("secret-token")
        assertEquals(PushState.Waiting, alice.pushStatus(alice.nodes().single().id).state)
    }

    @Test
    fun `a push target is printed nowhere`() {
        val targets = listOf(
            PushTarget.WebPush("https://push.example/secret", ByteArray(65) { 77 }, ByteArray(16) { 99 }),
            PushTarget.Gateway("fcm", "secret"),
        )
        for (target in targets) {
            val printed = "$target ${listOf(target)}"
            assertFalse("secret" in printed || "77" in printed || "99" in printed, printed)
        }
    }
}
