package org.ailurus.demo

import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.text.format.Formatter
import android.widget.Button
import android.widget.TextView
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.ailurus.Ailurus
import org.ailurus.Client
import org.ailurus.NodeState
import org.ailurus.NodeStatus

/** Super nodes, storage and backup. */
class SettingsActivity : Screen() {
    private var client: Client? = null

    /** It shows links, and a passphrase is typed here. */
    override val secret = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.settings)
        findViewById<TextView>(R.id.version).text = getString(R.string.settings_version, Ailurus.VERSION)
        findViewById<Button>(R.id.add).setOnClickListener {
            startActivityForResult(Intent(this, ScanActivity::class.java), SCAN)
        }
        findViewById<Button>(R.id.backup).setOnClickListener {
            val create = Intent(Intent.ACTION_CREATE_DOCUMENT)
                .addCategory(Intent.CATEGORY_OPENABLE)
                .setType("application/octet-stream")
                .putExtra(Intent.EXTRA_TITLE, "ailurus.backup")
            startActivityForResult(create, BACKUP)
        }
    }

    override suspend fun show(client: Client) {
        this.client = client
        findViewById<TextView>(R.id.nodes).text = client.nodes().joinToString("\n\n", transform = ::describe)
        val size = Formatter.formatFileSize(this, app.profile.size())
        findViewById<TextView>(R.id.storage).text = getString(R.string.settings_storage_size, size)
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK || data == null) {
            return
        }
        when (request) {
            SCAN -> data.getStringExtra(ScanActivity.LINK)?.let { startActivity(JoinActivity.intent(this, it)) }
            BACKUP -> data.data?.let { to -> askPassphrase(new = true) { backUp(to, it) } }
        }
    }

    private fun describe(node: NodeStatus): String {
        val state = when (node.state) {
            NodeState.ACTIVE -> R.string.node_active
            NodeState.STANDBY -> R.string.node_standby
            NodeState.DOWN -> R.string.node_down
            NodeState.REFUSED -> R.string.node_refused
        }
        val hops = node.hopCount
        val distance = if (hops == null) getString(R.string.node_stranger) else getString(R.string.node_hops, hops.toInt())
        return "${getString(state)} · $distance\n${node.reason}\n${node.link}"
    }

    private fun backUp(to: Uri, passphrase: String) {
        act {
            val client = client ?: app.open() ?: return@act
            val stream = withContext(Dispatchers.IO) { contentResolver.openOutputStream(to) } ?: return@act
            stream.use { app.profile.backUp(client, it, passphrase) }
            say(R.string.settings_backup_done)
        }
    }

    private companion object {
        const val SCAN = 1
        const val BACKUP = 2
    }
}
