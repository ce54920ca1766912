package org.ailurus.demo.model

import java.time.Duration
import java.time.Instant
import java.time.ZoneId
import org.ailurus.Client
import org.ailurus.Plan
import org.ailurus.Preference
import org.ailurus.Usage
import org.ailurus.UsagePeriod
import org.ailurus.UsageRow
import org.ailurus.WakeupReason
import org.ailurus.usage

/** What the library plans in the background, and what it has spent. */
class BatteryModel(private val client: Client, private val zone: ZoneId = ZoneId.systemDefault()) {
    /** What the user prefers in the background. */
    val preference: Preference
        get() = client.preference()

    suspend fun prefer(preference: Preference): Unit = client.setPreference(preference)

    /** The plan, seen from now. */
    suspend fun outlook(): Outlook = Outlook.of(client.plan(), Instant.now())

    /** What was spent today and in the last 7 days. */
    suspend fun spent(): Spent = client.usage(zone).let { Spent(Costs.of(it.today), Costs.of(it.week)) }
}

/** A plan in the terms of the screen. */
data class Outlook(val kind: Kind, val next: Next?) {
    enum class Kind { LIVE, OFFLINE, BACKGROUND }

    /** The next wake-up, or the next work while live. [also] shares it and would not have been necessary then. */
    data class Next(
        val after: Duration,
        val slack: Duration,
        val reasons: List<WakeupReason>,
        val also: List<WakeupReason>,
    )

    companion object {
        fun of(plan: Plan, now: Instant): Outlook {
            val next = plan.wakeup?.let { wakeup ->
                val after = Duration.between(now, wakeup.at).coerceAtLeast(Duration.ZERO)
                Next(after, wakeup.slack, wakeup.reasons, wakeup.carries - wakeup.reasons.toSet())
            }
            val kind = when {
                plan.live -> Kind.LIVE
                next == null -> Kind.OFFLINE
                else -> Kind.BACKGROUND
            }
            return Outlook(kind, next)
        }
    }
}

data class Spent(val today: Costs, val week: Costs)

/** What a period cost: in all, and by reason, the most costly first. */
data class Costs(val total: Usage, val bars: List<Bar>) {
    /** A reason's cost on all networks; [share] is that of the longest bar. */
    data class Bar(val reason: WakeupReason, val cost: Usage, val share: Float)

    companion object {
        fun of(period: UsagePeriod): Costs {
            val costs = period.rows.groupBy(UsageRow::reason).mapValues { (_, rows) -> sum(rows.map(UsageRow::usage)) }
            val longest = costs.values.maxOfOrNull { it.radioHigh }?.toMillis()?.coerceAtLeast(1) ?: 1
            val bars = costs.map { (reason, cost) -> Bar(reason, cost, cost.radioHigh.toMillis().toFloat() / longest) }
            return Costs(period.total, bars.sortedByDescending { it.cost.radioHigh })
        }

        private fun sum(usages: List<Usage>) = Usage(
            wakeups = usages.sumOf { it.wakeups },
            radioHigh = usages.fold(Duration.ZERO) { sum, usage -> sum + usage.radioHigh },
            bytesSent = usages.sumOf { it.bytesSent },
            bytesReceived = usages.sumOf { it.bytesReceived },
            connected = usages.fold(Duration.ZERO) { sum, usage -> sum + usage.connected },
        )
    }
}
