package org.ailurus.android

import android.app.Activity
import android.app.Application
import android.os.Bundle
import org.ailurus.AppState
import org.ailurus.Client

/**
 * Tells a client whether a person looks at the app: whether one of its activities is started. Make it in
 * `Application.onCreate`, before the first activity, and [attach] the client once it is open. All on the main thread.
 *
 * @param onChange called after the client was told: the moment to plan polls ([PollScheduler]).
 */
public class AppStateWatcher @JvmOverloads constructor(
    application: Application,
    private val onChange: (AppState) -> Unit = {},
) {
    private val started = StartedCount()
    private var client: Client? = null

    init {
        application.registerActivityLifecycleCallbacks(object : Callbacks() {
            override fun onActivityStarted(activity: Activity) {
                if (started.started()) {
                    changed()
                }
            }

            override fun onActivityStopped(activity: Activity) {
                if (started.stopped(activity.isChangingConfigurations)) {
                    changed()
                }
            }
        })
    }

    /** How it is now. */
    public val state: AppState
        get() = started.state

    /** Tells this client the state, now and whenever it changes; instead of another one. */
    public fun attach(client: Client) {
        this.client = client
        tell()
    }

    /** Tells the client nothing more: call it before the client is closed. */
    public fun detach() {
        client = null
    }

    private fun changed() {
        tell()
        onChange(state)
    }

    private fun tell() {
        client?.setAppState(state)
    }
}

/** Counts started activities. One that is made anew, as when the phone is turned, counts on meanwhile. */
internal class StartedCount {
    private var count = 0
    private var recreated = 0

    val state: AppState
        get() = if (count + recreated > 0) AppState.FOREGROUND else AppState.BACKGROUND

    /** True if the state changed. */
    fun started(): Boolean = changes {
        count += 1
        recreated = (recreated - 1).coerceAtLeast(0)
    }

    /** True if the state changed. */
    fun stopped(toBeRecreated: Boolean): Boolean = changes {
        count = (count - 1).coerceAtLeast(0)
        if (toBeRecreated) {
            recreated += 1
        }
    }

    private fun changes(change: () -> Unit): Boolean {
        val before = state
        change()
        return state != before
    }
}

private abstract class Callbacks : Application.ActivityLifecycleCallbacks {
    override fun onActivityCreated(activity: Activity, savedInstanceState: Bundle?) {}

    override fun onActivityResumed(activity: Activity) {}

    override fun onActivityPaused(activity: Activity) {}

    override fun onActivitySaveInstanceState(activity: Activity, outState: Bundle) {}

    override fun onActivityDestroyed(activity: Activity) {}
}
