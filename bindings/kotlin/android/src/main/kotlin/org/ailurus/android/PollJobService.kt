package org.ailurus.android

import android.app.job.JobParameters
import android.app.job.JobService
import android.util.Log
import java.time.Duration
import java.time.Instant
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.ailurus.Client
import org.ailurus.PollReport

/**
 * Polls in the background, when [PollScheduler] has planned it. An app declares its own one in its manifest, with the
 * permission `android.permission.BIND_JOB_SERVICE`.
 */
public abstract class PollJobService : JobService() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)
    private var poll: Job? = null

    /** The client, open; the app's own if there is one already. Without a profile null, and then nothing is planned. */
    protected abstract suspend fun client(): Client?

    /** What plans the next poll. */
    protected abstract fun scheduler(): PollScheduler

    /** Called after each poll, to show notifications. The job ends when it returns. */
    protected open suspend fun onPolled(client: Client, report: PollReport) {}

    /** How long a poll may take; at most [LONGEST], so that it ends before Android ends it. */
    protected open val budget: Duration = Duration.ofSeconds(30)

    final override fun onStartJob(parameters: JobParameters): Boolean {
        poll = scope.launch {
            val again = try {
                poll(parameters)
            } catch (exception: CancellationException) {
                throw exception
            } catch (exception: Exception) {
                // The library's messages hold no secret.
                Log.w(TAG, "a poll failed: ${exception.message}")
                true
            }
            if (again) {
                jobFinished(parameters, true)
            }
        }
        return true
    }

    /** Android takes the time back: a poll of less than its budget, which is tried again. */
    final override fun onStopJob(parameters: JobParameters): Boolean {
        poll?.cancel()
        return true
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    /** True if Android is to try again, later each time. */
    private suspend fun poll(parameters: JobParameters): Boolean {
        val client = client()
        if (client == null) {
            jobFinished(parameters, false)
            return false
        }
        tellState(this, client)
        // A job that waited for a network asks whether anything is due now.
        if (parameters.extras?.containsKey(PollScheduler.AT) != false || isDue(client)) {
            val report = client.syncOnce(budget.coerceIn(Duration.ofSeconds(1), LONGEST))
            onPolled(client, report)
        }
        // A job that is planned while it runs is stopped, so this one ends first; then there may be no time for more.
        val plan = orSay { scheduler().planner(client) }
        jobFinished(parameters, false)
        orSay { plan?.invoke() }
        return false
    }

    private suspend fun isDue(client: Client): Boolean = client.nextWakeup()?.let { it.at <= Instant.now() } ?: false

    /** What goes wrong here must not end the job a second time. The app plans anew when it goes to the background. */
    private inline fun <T> orSay(work: () -> T): T? = try {
        work()
    } catch (exception: CancellationException) {
        throw exception
    } catch (exception: Exception) {
        Log.w(TAG, "the next poll could not be planned: ${exception.message}")
        null
    }

    public companion object {
        /** The longest poll: Android stops jobs after ten minutes. */
        public val LONGEST: Duration = Duration.ofMinutes(8)
        private const val TAG = "ailurus"
    }
}
