package org.ailurus.demo

import android.content.Context
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.TextView
import org.ailurus.AccessKind
import org.ailurus.Client
import org.ailurus.LinkInfo
import org.ailurus.demo.model.Accepted
import org.ailurus.demo.model.FoundLink
import org.ailurus.demo.model.Links

/** Says what a link is for, and uses it if a person wants that. Links come from the camera and from other apps. */
class JoinActivity : Screen() {
    private lateinit var name: EditText
    private var client: Client? = null
    private var link: FoundLink? = null

    override val secret = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.join)
        name = findViewById(R.id.name)
        findViewById<Button>(R.id.accept).setOnClickListener { accept() }
        findViewById<Button>(R.id.cancel).setOnClickListener { finish() }
    }

    override suspend fun show(client: Client) {
        this.client = client
        val link = link ?: Links.find(text()).also { link = it }
        findViewById<TextView>(R.id.what).text = describe(link.info)
        findViewById<Button>(R.id.accept).isEnabled = true
        val channel = link.info as? LinkInfo.Channel ?: return
        findViewById<View>(R.id.naming).visibility = View.VISIBLE
        findViewById<View>(R.id.warning).visibility = if (channel.redpanda) View.VISIBLE else View.GONE
        if (name.text.isEmpty()) {
            name.setText(channel.name)
        }
    }

    private fun accept() {
        val (client, link) = (client ?: return) to (link ?: return)
        act {
            when (val accepted = Links.accept(client, link, name.text.toString())) {
                is Accepted.Joined -> startActivity(ChatActivity.intent(this@JoinActivity, accepted.channel))
                is Accepted.NodeAdded -> say(R.string.join_node_added)
            }
            finish()
        }
    }

    /** What another app handed over. */
    private fun text(): String = when (intent.action) {
        Intent.ACTION_SEND -> intent.getStringExtra(Intent.EXTRA_TEXT).orEmpty()
        else -> intent.dataString.orEmpty()
    }

    private fun describe(info: LinkInfo): String = when (info) {
        is LinkInfo.Node -> getString(R.string.join_node, info.host)

        is LinkInfo.Invitation -> getString(R.string.join_invitation, info.host)

        is LinkInfo.Channel -> {
            val access = when (info.access) {
                AccessKind.FULL -> getString(R.string.access_full)
                AccessKind.READ -> getString(R.string.access_read)
                AccessKind.WRITE -> getString(R.string.access_write)
            }
            if (info.name.isEmpty()) {
                getString(R.string.join_channel_unnamed, access)
            } else {
                getString(R.string.join_channel, info.name, access)
            }
        }
    }

    companion object {
        fun intent(context: Context, link: String): Intent =
            Intent(context, JoinActivity::class.java).setAction(Intent.ACTION_VIEW).setData(Uri.parse(Links.toShare(link)))
    }
}
