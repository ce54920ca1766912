package org.ailurus.demo

import android.app.Activity
import android.app.AlertDialog
import android.content.ClipboardManager
import android.content.Intent
import android.os.Bundle
import android.view.MenuItem
import android.view.WindowManager
import android.widget.Toast
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import org.ailurus.Client
import org.ailurus.demo.model.Problem

/** What all screens share: work that ends with them, an open client, and sentences for what goes wrong. */
abstract class Screen : Activity() {
    private val scope = CoroutineScope(SupervisorJob() + MainThread)
    private var showing: Job? = null

    protected val app: DemoApp
        get() = application as DemoApp

    /** Neither screenshots nor the list of recent apps show it. */
    protected open val secret: Boolean = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        if (secret) {
            window.addFlags(WindowManager.LayoutParams.FLAG_SECURE)
        }
        if (parentActivityIntent != null) {
            actionBar?.setDisplayHomeAsUpEnabled(true)
        }
    }

    override fun onStart() {
        super.onStart()
        showing = act {
            val client = app.open()
            if (client == null) onNoProfile() else show(client)
        }
    }

    override fun onStop() {
        showing?.cancel()
        super.onStop()
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId == android.R.id.home) {
            finish()
            return true
        }
        return super.onOptionsItemSelected(item)
    }

    /** Runs while the screen is started. */
    protected abstract suspend fun show(client: Client)

    protected open fun onNoProfile() {
        startActivity(Intent(this, StartActivity::class.java))
        finish()
    }

    /** Does something, and says so if it goes wrong. */
    protected fun act(work: suspend CoroutineScope.() -> Unit): Job = scope.launch {
        try {
            work()
        } catch (exception: CancellationException) {
            throw exception
        } catch (exception: Exception) {
            // A screen that is gone cannot show it.
            ensureActive()
            report(exception)
        }
    }

    protected fun say(text: Int) {
        Toast.makeText(this, text, Toast.LENGTH_LONG).show()
    }

    protected fun ask(question: CharSequence, action: Int, answer: () -> Unit) {
        AlertDialog.Builder(this)
            .setMessage(question)
            .setPositiveButton(action) { _, _ -> answer() }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    /** What lies on the clipboard; empty if there is nothing. */
    protected fun pasted(): String {
        val clip = service<ClipboardManager>().primaryClip
        val text = clip?.takeIf { it.itemCount > 0 }?.getItemAt(0)?.coerceToText(this)?.toString().orEmpty()
        if (text.isBlank()) {
            say(R.string.clipboard_empty)
        }
        return text
    }

    private fun report(exception: Exception) {
        if (!isFinishing) {
            AlertDialog.Builder(this)
                .setMessage(sentence(exception))
                .setPositiveButton(android.R.string.ok, null)
                .show()
        }
    }

    private fun sentence(exception: Exception): String = when (Problem.of(exception)) {
        Problem.BAD_BACKUP -> getString(R.string.problem_bad_backup)
        Problem.BAD_LINK -> getString(R.string.problem_bad_link)
        Problem.CHANNEL_EXISTS -> getString(R.string.problem_channel_exists)
        Problem.DISK_FULL -> getString(R.string.problem_disk_full)
        Problem.MOVED -> getString(R.string.problem_moved)
        Problem.NETWORK -> getString(R.string.problem_network)
        Problem.NOT_ALLOWED -> getString(R.string.problem_not_allowed)
        Problem.WRONG_KEY -> getString(R.string.problem_wrong_key)
        Problem.ALREADY_IN -> getString(R.string.problem_already_in)
        Problem.BAD_LIBRARY -> getString(R.string.problem_library)
        Problem.OTHER -> exception.message ?: exception.javaClass.simpleName
    }
}
