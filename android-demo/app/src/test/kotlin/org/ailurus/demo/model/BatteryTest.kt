package org.ailurus.demo.model

import java.time.Duration
import java.time.Instant
import org.ailurus.AppState
import org.ailurus.NetworkKind
import org.ailurus.NetworkState
import org.ailurus.Plan
import org.ailurus.Preference
import org.ailurus.Usage
import org.ailurus.UsagePeriod
import org.ailurus.UsageRow
import org.ailurus.Wakeup
import org.ailurus.WakeupReason
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class BatteryTest : Phones() {
    @Test
    fun `a plan is told as the time until it, and what else it does`() {
        val now = Instant.parse("2026-01-01T00:00:00Z")
        fun plan(live: Boolean, minutes: Long?) = Plan(
            live,
            minutes?.let {
                val reasons = listOf(WakeupReason.SYNC)
                Wakeup(now + Duration.ofMinutes(it), Duration.ofMinutes(5), reasons, reasons + WakeupReason.REGISTRATION)
            },
            keepAlive = null,
            relay = false,
        )

        val outlook = Outlook.of(plan(false, 14), now)
        assertEquals(Outlook.Kind.BACKGROUND, outlook.kind)
        assertEquals(Duration.ofMinutes(14), outlook.next!!.after)
        assertEquals(listOf(WakeupReason.REGISTRATION), outlook.next!!.also)
        assertEquals(Duration.ZERO, Outlook.of(plan(false, -3), now).next!!.after)
        assertEquals(Outlook.Kind.LIVE, Outlook.of(plan(true, 14), now).kind)
        assertEquals(Outlook.Kind.OFFLINE, Outlook.of(plan(false, null), now).kind)
    }

    @Test
    fun `bars are of reasons, on all networks together, the longest first`() {
        fun usage(wakeups: Int, seconds: Long) =
            Usage(wakeups.toULong(), Duration.ofSeconds(seconds), 100u, 200u, Duration.ZERO)
        val period = UsagePeriod(
            Instant.EPOCH,
            usage(6, 60),
            listOf(
                UsageRow(WakeupReason.OUTBOX, NetworkKind.WIFI, usage(1, 10)),
                UsageRow(WakeupReason.SYNC, NetworkKind.WIFI, usage(2, 15)),
                UsageRow(WakeupReason.SYNC, NetworkKind.CELLULAR, usage(3, 25)),
            ),
        )

        val bars = Costs.of(period).bars
        assertEquals(listOf(WakeupReason.SYNC, WakeupReason.OUTBOX), bars.map { it.reason })
        assertEquals(usage(5, 40).copy(bytesSent = 200u, bytesReceived = 400u), bars[0].cost)
        assertEquals(listOf(1f, 0.25f), bars.map { it.share })
        assertEquals(emptyList<Costs.Bar>(), Costs.of(period.copy(rows = emptyList())).bars)
    }

    @Test
    fun `what a phone spends shows, and its plan follows what it is told`() = test {
        val alice = phone("Alice")
        val model = BatteryModel(alice)
        alice.setAppState(AppState.BACKGROUND)
        alice.createChannel("Rust").send("hello")
        alice.syncOnce(Duration.ofSeconds(20))

        val spent = model.spent()
        assertTrue("${spent.today}", spent.today.total.wakeups >= 1uL && spent.today.total.bytesSent > 0uL)
        assertEquals(1f, spent.today.bars.first().share)
        assertTrue(spent.week.total.bytesSent >= spent.today.total.bytesSent)

        val balanced = model.outlook().next!!.after
        model.prefer(Preference.FRUGAL)
        assertEquals(Preference.FRUGAL, model.preference)
        assertTrue(model.outlook().next!!.after > balanced)
        alice.setNetwork(NetworkState(NetworkKind.OFFLINE, metered = false, roaming = false))
        assertEquals(Outlook.Kind.OFFLINE, model.outlook().kind)
        assertNull(model.outlook().next)
    }
}
