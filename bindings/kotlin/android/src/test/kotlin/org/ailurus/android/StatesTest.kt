package org.ailurus.android

import java.time.Duration
import java.time.Instant
import org.ailurus.AppState
import org.ailurus.NetworkKind
import org.ailurus.NetworkState
import org.ailurus.Plan
import org.ailurus.PowerState
import org.ailurus.StandbyBucket
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
        fun state(level: Int, scale: Int, plugged: Int, saver: Boolean) = powerState(level, scale, plugged, saver, false, 0)

        assertEquals(power(50u, charging = false, saver = true), state(100, 200, 0, true))
        assertEquals(power(100u, charging = true, saver = false), state(101, 100, 2, false))
        assertEquals(power(0u, charging = false, saver = false), state(0, 100, 0, false))
        assertEquals(power(null, charging = false, saver = false), state(-1, -1, 0, false))
        assertEquals(power(null, charging = false, saver = false), state(5, 0, 0, false))
    }

    @Test
    fun `how Android saves power is told too`() {
        assertEquals(
            PowerState(50u, charging = false, saver = false, doze = true, bucket = StandbyBucket.RARE),
            powerState(50, 100, 0, false, true, 40),
        )
        // Android's exempted apps, its five buckets, and one for apps that were never used.
        val buckets = listOf(5, 10, 20, 30, 40, 45, 50).map(::standbyBucket)
        assertEquals(listOf(StandbyBucket.ACTIVE) + StandbyBucket.entries + StandbyBucket.RESTRICTED, buckets)
        assertEquals(StandbyBucket.ACTIVE, standbyBucket(0), "there are none before API 28")
        assertEquals(StandbyBucket.RARE, standbyBucket(35), "one that was added later")
    }

    @Test
    fun `a poll is planned from now on`() {
        fun latency(at: Instant) = jobLatency(wakeup(at), NOW)

        assertEquals(Duration.ofMinutes(15), latency(NOW + Duration.ofMinutes(15)))
        assertEquals(Duration.ZERO, latency(NOW - Duration.ofMinutes(15)))
        assertEquals(Duration.ofDays(1), latency(NOW + Duration.ofDays(400)))
    }

    @Test
    fun `a job that fits the plan is left alone`() {
        val soon = NOW + Duration.ofMinutes(15)
        fun planned(minutes: Long) = Planned((soon + Duration.ofMinutes(minutes)).toEpochMilli())
        fun change(planned: Planned?) = jobChange(background(wakeup(soon)), planned, NOW)

        assertEquals(JobChange.At(wakeup(soon)), change(null))
        for (minutes in 0L..5L) {
            assertEquals(JobChange.Keep, change(planned(minutes)))
        }
        assertEquals(JobChange.At(wakeup(soon)), change(planned(-1)), "too early costs a wake-up")
        assertEquals(JobChange.At(wakeup(soon)), change(planned(6)), "too late")
        assertEquals(JobChange.At(wakeup(soon)), change(planned(525_600)), "the clock was set back")
        assertEquals(JobChange.At(wakeup(soon)), change(Planned(0)), "one that waits for a network")
        // The plan's times are finer than a job's.
        val odd = soon.plusNanos(999_999)
        assertEquals(JobChange.Keep, jobChange(background(wakeup(odd)), planned(0), NOW))
    }

    @Test
    fun `a job that Android puts off is not planned again and again`() {
        val due = background(wakeup(NOW))
        assertEquals(JobChange.Keep, jobChange(due, Planned((NOW - Duration.ofMinutes(40)).toEpochMilli()), NOW))
    }

    @Test
    fun `a network that comes and goes moves no job`() {
        val soon = NOW + Duration.ofMinutes(15)
        assertEquals(JobChange.WhenOnline, jobChange(background(null), null, NOW))
        assertEquals(JobChange.Keep, jobChange(background(null), Planned(soon.toEpochMilli()), NOW))
        assertEquals(JobChange.Keep, jobChange(background(null), Planned(0), NOW))
    }

    @Test
    fun `while a person looks there is no job`() {
        val live = Plan(live = true, wakeup = wakeup(NOW), keepAlive = Duration.ofSeconds(20), relay = false)
        assertEquals(JobChange.None, jobChange(live, Planned(NOW.toEpochMilli()), NOW))
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

private val NOW: Instant = Instant.parse("2026-01-01T00:00:00Z")

private fun wakeup(at: Instant) =
    Wakeup(at, Duration.ofMinutes(5), listOf(WakeupReason.SYNC), listOf(WakeupReason.SYNC))

private fun background(wakeup: Wakeup?) = Plan(live = false, wakeup = wakeup, keepAlive = null, relay = false)

private fun power(percent: UByte?, charging: Boolean, saver: Boolean) =
    PowerState(percent, charging, saver, doze = false, bucket = StandbyBucket.ACTIVE)
