package org.ailurus.android

import android.app.job.JobInfo
import android.app.job.JobScheduler
import android.content.ComponentName
import android.content.Context
import android.os.PersistableBundle
import java.time.Duration
import java.time.Instant
import org.ailurus.Client
import org.ailurus.Plan
import org.ailurus.Wakeup

/**
 * Has Android start a [PollJobService] when the client wants to be woken, or later, as Android sees fit: one job, which
 * needs a network and is kept when the phone is started anew. Call [schedule] when the app goes to the background, and
 * there after whatever may change the plan ([PowerWatcher], [NetworkWatcher], `onPush`): a job that still fits is left
 * alone. The service does it after each poll.
 */
public class PollScheduler @JvmOverloads constructor(
    private val context: Context,
    private val service: Class<out PollJobService>,
    private val jobId: Int = JOB_ID,
) {
    private val jobs = context.service<JobScheduler>()

    /**
     * Plans the next poll as the client wants it, after telling it how battery and network are now. While the app is on
     * the screen there is none; without a network it waits for one, and then asks the client again.
     */
    public suspend fun schedule(client: Client) {
        tellState(context, client)
        val planned = jobs.getPendingJob(jobId)?.let { Planned(it.extras.getLong(AT)) }
        carryOut(jobChange(client.plan(), planned, Instant.now()))
    }

    /** What plans the poll after the one that runs, once that has ended. */
    internal suspend fun planner(client: Client): () -> Unit {
        tellState(context, client)
        val change = jobChange(client.plan(), null, Instant.now())
        return { carryOut(change) }
    }

    /** Plans a poll at this time or later. Android chooses the moment: it batches jobs by itself. */
    public fun schedule(wakeup: Wakeup) {
        val extras = PersistableBundle().apply { putLong(AT, wakeup.at.toEpochMilli()) }
        schedule(jobLatency(wakeup, Instant.now()), extras)
    }

    /** Plans none. */
    public fun cancel() {
        jobs.cancel(jobId)
    }

    private fun carryOut(change: JobChange) = when (change) {
        JobChange.Keep -> {}
        JobChange.None -> cancel()
        JobChange.WhenOnline -> schedule(OFFLINE, PersistableBundle())
        is JobChange.At -> schedule(change.wakeup)
    }

    private fun schedule(latency: Duration, extras: PersistableBundle) {
        val job = JobInfo.Builder(jobId, ComponentName(context, service))
            .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
            // No deadline: at a deadline Android starts a job without a network too, and refuses one that is near.
            .setMinimumLatency(latency.toMillis())
            .setPersisted(true)
            .setExtras(extras)
            .build()
        jobs.schedule(job)
    }

    public companion object {
        /** The number of the job, among all jobs of the app, unless another is given. */
        public const val JOB_ID: Int = 0x41494C

        /** When a job was wanted; missing if it waits for a network. */
        internal const val AT = "at"
    }
}

/** Tells a client how battery and network are now: what nobody told may have changed, or the process is new. */
internal fun tellState(context: Context, client: Client) {
    client.setPower(context.powerNow())
    client.setNetwork(context.networkNow())
}

/** A job that is planned: for when, in Unix milliseconds; 0 if it waits for a network. */
internal data class Planned(val at: Long)

/** What to do about the job. */
internal sealed interface JobChange {
    /** It still fits. */
    data object Keep : JobChange

    /** There is to be none. */
    data object None : JobChange

    /** One that runs once there is a network, and asks the client then. */
    data object WhenOnline : JobChange

    /** One at this time. */
    data class At(val wakeup: Wakeup) : JobChange
}

/** A job that lies within the plan's slack, or is as overdue as the plan, stays: inputs that flap must not move it. */
internal fun jobChange(plan: Plan, planned: Planned?, now: Instant): JobChange {
    val wakeup = plan.wakeup
    return when {
        plan.live -> JobChange.None
        // Every job waits for a network.
        wakeup == null -> if (planned == null) JobChange.WhenOnline else JobChange.Keep
        planned == null || planned.at == 0L -> JobChange.At(wakeup)
        else -> {
            val at = Instant.ofEpochMilli(planned.at)
            // To the millisecond, which is all that a job remembers.
            val fits = planned.at >= wakeup.at.toEpochMilli() && at <= wakeup.at + wakeup.slack
            val overdue = at <= now && wakeup.at <= now
            if (fits || overdue) JobChange.Keep else JobChange.At(wakeup)
        }
    }
}

/** How long from now on. A clock that was set back does not put a poll off by more than [FURTHEST]. */
internal fun jobLatency(wakeup: Wakeup, now: Instant): Duration =
    Duration.between(now, wakeup.at).coerceIn(Duration.ZERO, FURTHEST)

private val FURTHEST = Duration.ofDays(1)

/** Before a job that waits for a network: one that comes and goes starts it once a minute at most. */
private val OFFLINE = Duration.ofMinutes(1)
