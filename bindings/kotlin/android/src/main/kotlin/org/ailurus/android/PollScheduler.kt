package org.ailurus.android

import android.app.job.JobInfo
import android.app.job.JobScheduler
import android.content.ComponentName
import android.content.Context
import java.time.Duration
import java.time.Instant
import org.ailurus.Client
import org.ailurus.Wakeup

/**
 * Has Android start a [PollJobService] when the client wants to be woken: one job, which needs a network and is kept
 * when the phone is started anew. Call [schedule] when the app goes to the background; the service does it after each
 * poll.
 */
public class PollScheduler @JvmOverloads constructor(
    private val context: Context,
    private val service: Class<out PollJobService>,
    private val jobId: Int = JOB_ID,
) {
    private val jobs = context.service<JobScheduler>()

    /** Plans the next poll, instead of one planned earlier; none if the client wants none. */
    public fun schedule(client: Client) {
        val wakeup = client.nextWakeup()
        if (wakeup == null) cancel() else schedule(wakeup)
    }

    /** Plans a poll at this time. */
    public fun schedule(wakeup: Wakeup) {
        val times = jobTimes(wakeup, Instant.now())
        val job = JobInfo.Builder(jobId, ComponentName(context, service))
            .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
            .setMinimumLatency(times.earliest.toMillis())
            .setOverrideDeadline(times.latest.toMillis())
            .setPersisted(true)
            .build()
        jobs.schedule(job)
    }

    /** Plans none. */
    public fun cancel() {
        jobs.cancel(jobId)
    }

    public companion object {
        /** The number of the job, among all jobs of the app, unless another is given. */
        public const val JOB_ID: Int = 0x41494C
    }
}

/** From now on. */
internal data class JobTimes(val earliest: Duration, val latest: Duration)

/** A clock that was set back does not put a poll off by more than [FURTHEST]. */
internal fun jobTimes(wakeup: Wakeup, now: Instant): JobTimes {
    val earliest = Duration.between(now, wakeup.at).coerceIn(Duration.ZERO, FURTHEST)
    val slack = wakeup.slack.coerceIn(Duration.ZERO, FURTHEST)
    return JobTimes(earliest, earliest + slack)
}

private val FURTHEST = Duration.ofDays(1)
