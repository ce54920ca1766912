package org.ailurus.demo

import android.app.Application
import android.os.Handler
import android.os.Looper
import android.util.Log
import java.io.File
import java.util.concurrent.Executor
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.ailurus.AilurusException
import org.ailurus.AppState
import org.ailurus.Client
import org.ailurus.KeyVault
import org.ailurus.android.AilurusAndroid
import org.ailurus.android.AndroidKeystoreVault
import org.ailurus.android.AppStateWatcher
import org.ailurus.android.NetworkWatcher
import org.ailurus.android.PollScheduler
import org.ailurus.android.PowerWatcher
import org.ailurus.demo.model.Announcer
import org.ailurus.demo.model.Profile
import org.ailurus.events

/** The main thread, for coroutines. */
internal val MainThread: CoroutineDispatcher =
    Executor { Handler(Looper.getMainLooper()).post(it) }.asCoroutineDispatcher()

/** Holds what outlives screens: the profile, and what tells its client about the phone. */
open class DemoApp : Application() {
    private val scope = CoroutineScope(SupervisorJob() + MainThread)
    private lateinit var appState: AppStateWatcher
    private lateinit var notifications: Notifications

    val scheduler: PollScheduler by lazy { PollScheduler(this, PollService::class.java) }
    val profile: Profile by lazy { Profile(File(filesDir, "profile"), cacheDir, vault()) }

    /** What decides about notifications, once the profile is open. */
    var announcer: Announcer? = null
        private set

    override fun onCreate() {
        super.onCreate()
        notifications = Notifications(this)
        appState = AppStateWatcher(this) { replan() }
        scope.launch { profile.client.filterNotNull().collect(::attach) }
    }

    /** The client; null before the first start is done. */
    suspend fun open(): Client? {
        withContext(Dispatchers.IO) { AilurusAndroid.start() }
        return profile.open()
    }

    fun notifications(): Notifications = notifications

    /** Tests put another in its place. */
    protected open fun vault(): KeyVault = AndroidKeystoreVault(this)

    /** The client lives as long as the process, and so do these. */
    private fun attach(client: Client) {
        NetworkWatcher(this, client) { replan() }
        PowerWatcher(this, client) { replan() }
        appState.attach(client)
        val announcer = Announcer(client).also { announcer = it }
        scope.launch {
            client.events().collect { event ->
                try {
                    // In the background the job's report alerts; but a job that Android cuts short makes none.
                    val quiet = appState.state == AppState.BACKGROUND
                    announcer.announce(event)?.let { notifications.show(it, quiet) }
                } catch (exception: AilurusException) {
                    // The library's messages hold no secret.
                    Log.w(TAG, "an event was not announced: ${exception.message}")
                }
            }
        }
    }

    /** Plans the next poll; none while a person looks. */
    private fun replan() {
        scope.launch {
            val client = profile.client.value ?: return@launch
            try {
                scheduler.schedule(client)
            } catch (exception: AilurusException) {
                Log.w(TAG, "the next poll could not be planned: ${exception.message}")
            }
        }
    }

    private companion object {
        const val TAG = "demo"
    }
}
