package org.ailurus.android

import java.time.Duration
import java.time.Instant
import org.ailurus.AppState
import org.ailurus.NetworkKind
import org.ailurus.NetworkState
import org.ailurus.PowerState
import org.ailurus.Wakeup
import org.ailurus.WakeupReason
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class StatesTest {
    @Test
    fun `networks are what they cost`() {
        val wifi = Connection(wifi = true, cellular = false, metered = false, roaming = false)

        assertEquals(NetworkState(NetworkKind.OFFLINE, metered = false, roaming = false), networkState(null))
        assertEquals(NetworkState(NetworkKind.WIFI, metered = false, roaming = false), networkState(wifi))
        assertEquals(
            NetworkState(NetworkKind.CELLULAR, metered = true, roaming = true),
            networkState(wifi.copy(wifi = false, cellular = true, metered = true, roaming = true)),
        )
        assertEquals(NetworkKind.OTHER, networkState(wifi.copy(wifi = false)).kind)
        assertEquals(NetworkKind.CELLULAR, networkState(wifi.copy(cellular = true)).kind)
    }

    @Test
    fun `the battery's level is a percentage of its scale`() {
        assertEquals(PowerState(50u, charging = false, saver = true), powerState(100, 200, 0, true))
        assertEquals(PowerState(100u, charging = true, saver = false), powerState(101, 100, 2, false))
        assertEquals(PowerState(0u, charging = false, saver = false), powerState(0, 100, 0, false))
        assertEquals(PowerState(null, charging = false, saver = false), powerState(-1, -1, 0, false))
        assertEquals(PowerState(null, charging = false, saver = false), powerState(5, 0, 0, false))
    }

    @Test
    fun `a poll is planned from now on`() {
        val now = Instant.parse("2026-01-01T00:00:00Z")
        fun latency(at: Instant) = jobLatency(Wakeup(at, Duration.ofMinutes(5), listOf(WakeupReason.SYNC)), now)

        assertEquals(Duration.ofMinutes(15), latency(now + Duration.ofMinutes(15)))
        assertEquals(Duration.ZERO, latency(now - Duration.ofMinutes(15)))
        assertEquals(Duration.ofDays(1), latency(now + Duration.ofDays(400)))
    }

    @Test
    fun `the app is in the foreground while an activity is started`() {
        val count = StartedCount()
        assertEquals(AppState.BACKGROUND, count.state)

        assertTrue(count.started())
        assertFalse(count.started())
        assertFalse(count.stopped(false))
        assertEquals(AppState.FOREGROUND, count.state)
        assertTrue(count.stopped(false))
        assertEquals(AppState.BACKGROUND, count.state)
    }

    @Test
    fun `turning the phone is no way to the background`() {
        val count = StartedCount()
        count.started()

        assertFalse(count.stopped(true))
        assertFalse(count.started())
        assertTrue(count.stopped(false))
    }

    @Test
    fun `an activity that was started before counting began does not count below zero`() {
        val count = StartedCount()

        assertFalse(count.stopped(false))
        assertTrue(count.started())
    }
}
