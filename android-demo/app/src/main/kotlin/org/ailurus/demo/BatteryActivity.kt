package org.ailurus.demo

import android.os.Bundle
import android.text.format.Formatter
import android.view.LayoutInflater
import android.view.ViewGroup
import android.widget.RadioGroup
import android.widget.TextView
import java.time.Duration
import kotlinx.coroutines.delay
import org.ailurus.Client
import org.ailurus.Preference
import org.ailurus.Usage
import org.ailurus.WakeupReason
import org.ailurus.demo.model.BatteryModel
import org.ailurus.demo.model.Costs
import org.ailurus.demo.model.Outlook

/** The plan, what the user prefers, and what was spent. */
class BatteryActivity : Screen() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.battery)
    }

    override suspend fun show(client: Client) {
        val model = BatteryModel(client)
        val preferences = findViewById<RadioGroup>(R.id.preferences)
        preferences.setOnCheckedChangeListener(null)
        preferences.check(BUTTONS.getValue(model.preference))
        preferences.setOnCheckedChangeListener { _, button ->
            val chosen = BUTTONS.entries.firstOrNull { it.value == button }?.key ?: return@setOnCheckedChangeListener
            act {
                model.prefer(chosen)
                show(model)
            }
        }
        while (true) {
            show(model)
            delay(REFRESH)
        }
    }

    private suspend fun show(model: BatteryModel) {
        findViewById<TextView>(R.id.plan).text = words(model.outlook())
        val spent = model.spent()
        findViewById<TextView>(R.id.today).text = words(spent.today.total)
        findViewById<TextView>(R.id.week).text = words(spent.week.total)
        draw(spent.today.bars)
    }

    private fun draw(bars: List<Costs.Bar>) {
        val chart = findViewById<ViewGroup>(R.id.chart)
        while (chart.childCount > bars.size) {
            chart.removeViewAt(chart.childCount - 1)
        }
        bars.forEachIndexed { at, bar ->
            val row = chart.getChildAt(at)
                ?: LayoutInflater.from(this).inflate(R.layout.usage_row, chart, false).also(chart::addView)
            row.findViewById<TextView>(R.id.reason).text = words(bar.reason).replaceFirstChar(Char::titlecase)
            row.findViewById<TextView>(R.id.cost).text = words(bar.cost)
            row.findViewById<BarView>(R.id.bar).share = bar.share
        }
    }

    private fun words(outlook: Outlook): String {
        val next = outlook.next
        val lines = mutableListOf<String>()
        when (outlook.kind) {
            Outlook.Kind.LIVE -> {
                lines += getString(R.string.plan_live)
                next?.let { lines += getString(R.string.plan_errand, words(it.after)) }
            }
            Outlook.Kind.OFFLINE -> lines += getString(R.string.plan_offline)
            Outlook.Kind.BACKGROUND ->
                next?.let { lines += getString(R.string.plan_wakeup, words(it.after), words(it.slack)) }
        }
        if (next != null) {
            lines += getString(R.string.plan_reasons, next.reasons.joinToString(transform = ::words))
            if (next.also.isNotEmpty()) {
                lines += getString(R.string.plan_also, next.also.joinToString(transform = ::words))
            }
        }
        return lines.joinToString("\n")
    }

    private fun words(usage: Usage): String {
        val wakeups = usage.wakeups.toInt()
        val bytes = (usage.bytesSent + usage.bytesReceived).toLong()
        return getString(
            R.string.usage_cost,
            resources.getQuantityString(R.plurals.usage_wakeups, wakeups, wakeups),
            words(usage.radioHigh),
            Formatter.formatShortFileSize(this, bytes),
        )
    }

    private fun words(duration: Duration): String = when {
        duration < Duration.ofMinutes(2) -> getString(R.string.seconds, duration.seconds)
        duration < Duration.ofHours(2) -> getString(R.string.minutes, duration.toMinutes())
        else -> getString(R.string.hours, duration.toHours())
    }

    private fun words(reason: WakeupReason): String = getString(
        when (reason) {
            WakeupReason.SYNC -> R.string.reason_sync
            WakeupReason.OUTBOX -> R.string.reason_outbox
            WakeupReason.REGISTRATION -> R.string.reason_registration
            WakeupReason.DHT -> R.string.reason_dht
            WakeupReason.MESH -> R.string.reason_mesh
            WakeupReason.RESYNC -> R.string.reason_resync
            WakeupReason.DUST -> R.string.reason_dust
            WakeupReason.UPKEEP -> R.string.reason_upkeep
            WakeupReason.PUSH -> R.string.reason_push
            WakeupReason.USER -> R.string.reason_user
            WakeupReason.FOREGROUND -> R.string.reason_foreground
        },
    )

    private companion object {
        val BUTTONS = mapOf(
            Preference.FAST to R.id.fast,
            Preference.BALANCED to R.id.balanced,
            Preference.FRUGAL to R.id.frugal,
        )
        const val REFRESH = 5_000L
    }
}
