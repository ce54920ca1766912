package org.ailurus.android

import android.app.usage.UsageStatsManager
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import org.ailurus.Client
import org.ailurus.PowerState
import org.ailurus.StandbyBucket

/**
 * Tells a client how the battery is and how Android saves it, from now until it is closed. Close it before the client.
 *
 * It hears of the few changes that matter and not of each percent: what Android tells nobody, the standby bucket, and the
 * exact level are read again by [PollScheduler] and [PollJobService] whenever they plan or poll.
 *
 * @param onChange called after the client was told something new: the moment to plan polls ([PollScheduler]).
 */
public class PowerWatcher @JvmOverloads constructor(
    private val context: Context,
    private val client: Client,
    private val onChange: (PowerState) -> Unit = {},
) : AutoCloseable {
    private var told: PowerState? = null
    private var closed = false

    private val receiver = object : BroadcastReceiver() {
        override fun onReceive(context: Context, intent: Intent) {
            tell()
        }
    }

    init {
        val filter = IntentFilter()
        for (action in ACTIONS) {
            filter.addAction(action)
        }
        context.registerReceiver(receiver, filter)
        tell()
    }

    override fun close() {
        synchronized(receiver) {
            if (closed) {
                return
            }
            closed = true
        }
        context.unregisterReceiver(receiver)
    }

    private fun tell() {
        val state = context.powerNow()
        synchronized(receiver) {
            if (closed || state == told) {
                return
            }
            told = state
            client.setPower(state)
        }
        onChange(state)
    }

    private companion object {
        // All of them are the system's own, so no other app can send them.
        val ACTIONS = listOf(
            Intent.ACTION_POWER_CONNECTED,
            Intent.ACTION_POWER_DISCONNECTED,
            Intent.ACTION_BATTERY_LOW,
            Intent.ACTION_BATTERY_OKAY,
            PowerManager.ACTION_POWER_SAVE_MODE_CHANGED,
            PowerManager.ACTION_DEVICE_IDLE_MODE_CHANGED,
        )
    }
}

/** How the battery is now, and how Android saves it. */
internal fun Context.powerNow(): PowerState {
    val power = service<PowerManager>()
    // The battery's broadcast is sticky: this returns the last one, and registers nothing.
    val battery = registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
    return powerState(
        level = battery?.getIntExtra(BatteryManager.EXTRA_LEVEL, -1) ?: -1,
        scale = battery?.getIntExtra(BatteryManager.EXTRA_SCALE, -1) ?: -1,
        plugged = battery?.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) ?: 0,
        saver = power.isPowerSaveMode,
        doze = power.isDeviceIdleMode,
        bucket = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) service<UsageStatsManager>().appStandbyBucket else 0,
    )
}

/** [level] of [scale], less than 0 where Android does not know; [plugged] is 0 on battery; [bucket] is Android's number. */
internal fun powerState(
    level: Int,
    scale: Int,
    plugged: Int,
    saver: Boolean,
    doze: Boolean,
    bucket: Int,
): PowerState {
    val percent = if (level < 0 || scale <= 0) null else (level * 100L / scale).coerceAtMost(100).toUByte()
    return PowerState(percent, charging = plugged != 0, saver = saver, doze = doze, bucket = standbyBucket(bucket))
}

/** Buckets are steps of a scale, and Android may add some in between: each counts as the next one that is stricter. */
internal fun standbyBucket(bucket: Int): StandbyBucket = when {
    bucket <= ACTIVE -> StandbyBucket.ACTIVE
    bucket <= WORKING_SET -> StandbyBucket.WORKING_SET
    bucket <= FREQUENT -> StandbyBucket.FREQUENT
    bucket <= RARE -> StandbyBucket.RARE
    else -> StandbyBucket.RESTRICTED
}

// Those of UsageStatsManager.STANDBY_BUCKET_…, which came with API 28 and 30.
private const val ACTIVE = 10
private const val WORKING_SET = 20
private const val FREQUENT = 30
private const val RARE = 40
