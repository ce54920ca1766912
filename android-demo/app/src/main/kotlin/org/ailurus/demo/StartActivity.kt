package org.ailurus.demo

import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.widget.Button
import android.widget.EditText
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.ailurus.Client
import org.ailurus.LinkInfo
import org.ailurus.demo.model.Links

/** The first start: a name and a super node, or a backup. */
class StartActivity : Screen() {
    private lateinit var name: EditText
    private lateinit var node: EditText

    /** A passphrase is typed here. */
    override val secret = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.start)
        name = findViewById(R.id.name)
        node = findViewById(R.id.node)
        findViewById<Button>(R.id.scan).setOnClickListener {
            startActivityForResult(Intent(this, ScanActivity::class.java), SCAN)
        }
        findViewById<Button>(R.id.paste).setOnClickListener { node.setText(pasted()) }
        findViewById<Button>(R.id.create).setOnClickListener { create() }
        findViewById<Button>(R.id.restore).setOnClickListener {
            val open = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
            startActivityForResult(open, RESTORE)
        }
    }

    override suspend fun show(client: Client) = done()

    override fun onNoProfile() {}

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK || data == null) {
            return
        }
        when (request) {
            SCAN -> node.setText(data.getStringExtra(ScanActivity.LINK).orEmpty())
            RESTORE -> data.data?.let { backup -> askPassphrase(new = false) { restore(backup, it) } }
        }
    }

    private fun create() {
        if (name.text.isBlank()) {
            name.error = getString(R.string.start_no_name)
            return
        }
        act {
            val link = Links.find(node.text.toString())
            when (link.info) {
                is LinkInfo.Node -> app.profile.create(name.text.toString(), link.text)

                // An invitation that is over leaves a profile without a node, which the next attempt goes on with.
                is LinkInfo.Invitation ->
                    Links.accept(app.open() ?: app.profile.create(name.text.toString()), link)

                is LinkInfo.Channel -> {
                    node.error = getString(R.string.start_no_node)
                    return@act
                }
            }
            done()
        }
    }

    private fun restore(backup: Uri, passphrase: String) {
        act {
            val stream = withContext(Dispatchers.IO) { contentResolver.openInputStream(backup) } ?: return@act
            stream.use { app.profile.restore(it, passphrase) }
            done()
        }
    }

    private fun done() {
        startActivity(Intent(this, ChannelsActivity::class.java))
        finish()
    }

    private companion object {
        const val SCAN = 1
        const val RESTORE = 2
    }
}
