package org.ailurus.android

import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.PowerManager
import org.ailurus.Client
import org.ailurus.PowerState

/** Tells a client how the battery is, from now until it is closed. Close it before the client. */
public class PowerWatcher(private val context: Context, private val client: Client) : AutoCloseable {
    private val power = context.service<PowerManager>()
    private var battery: Intent? = null
    private var told: PowerState? = null
    private var closed = false

    private val receiver = object : BroadcastReceiver() {
        override fun onReceive(context: Context, intent: Intent) {
            tell(intent)
        }
    }

    init {
        val filter = IntentFilter(Intent.ACTION_BATTERY_CHANGED)
        filter.addAction(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED)
        // The battery's broadcast is sticky: this returns the last one.
        tell(context.registerReceiver(receiver, filter))
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

    private fun tell(intent: Intent?) {
        synchronized(receiver) {
            if (intent?.action == Intent.ACTION_BATTERY_CHANGED) {
                battery = intent
            }
            val state = powerState(
                level = battery?.getIntExtra(BatteryManager.EXTRA_LEVEL, -1) ?: -1,
                scale = battery?.getIntExtra(BatteryManager.EXTRA_SCALE, -1) ?: -1,
                plugged = battery?.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) ?: 0,
                saver = power.isPowerSaveMode,
            )
            if (closed || state == told) {
                return
            }
            told = state
            client.setPower(state)
        }
    }
}

/** [level] of [scale], less than 0 where Android does not know; [plugged] is 0 on battery. */
internal fun powerState(level: Int, scale: Int, plugged: Int, saver: Boolean): PowerState {
    val percent = if (level < 0 || scale <= 0) null else (level * 100L / scale).coerceAtMost(100).toUByte()
    return PowerState(percent, charging = plugged != 0, saver = saver)
}
