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
 * Has Android start a [PollJobService] when the client wants to be woken, or later, as Android sees fit: one job, which
 * needs a network and is kept when the phone is started anew. Call [schedule] when the app goes to the background; the
 * service does it after each poll.
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

    /** Plans a poll at this time or later. [Wakeup.slack] is Android's to choose: it batches jobs by itself. */
    public fun schedule(wakeup: Wakeup) {
        val job = JobInfo.Builder(jobId, ComponentName(context, service))
            .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
            // No deadline: at a deadline Android starts a job without a network too, and refuses one that is near.
            .setMinimumLatency(jobLatency(wakeup, Instant.now()).toMillis())
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

/** How long from now on. A clock that was set back does not put a poll off by more than [FURTHEST]. */
internal fun jobLatency(wakeup: Wakeup, now: Instant): Duration =
    Duration.between(now, wakeup.at).coerceIn(Duration.ZERO, FURTHEST)

private val FURTHEST = Duration.ofDays(1)
