package org.ailurus.demo

import android.content.Intent
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.widget.Button
import android.widget.ListView
import android.widget.TextView
import org.ailurus.AccessKind
import org.ailurus.ChannelSummary
import org.ailurus.Client
import org.ailurus.demo.model.ChannelsModel

/** All channels. */
class ChannelsActivity : Screen() {
    private lateinit var adapter: RowAdapter<ChannelSummary>
    private var model: ChannelsModel? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.channels)
        adapter = RowAdapter(layoutInflater, R.layout.channel_row, { it.id.text }, ::bind)
        val list = findViewById<ListView>(R.id.list)
        list.adapter = adapter
        list.setOnItemClickListener { _, _, at, _ -> startActivity(ChatActivity.intent(this, adapter.rows[at].id)) }
        findViewById<Button>(R.id.create).setOnClickListener { askText(R.string.channels_name) { create(it) } }
        findViewById<Button>(R.id.scan).setOnClickListener {
            startActivityForResult(Intent(this, ScanActivity::class.java), SCAN)
        }
    }

    override suspend fun show(client: Client) {
        Notifications.askPermission(this)
        val model = ChannelsModel(client).also { model = it }
        model.channels.collect {
            adapter.rows = it
            // Not before it is known that there are none.
            findViewById<ListView>(R.id.list).emptyView = findViewById<TextView>(R.id.empty)
        }
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.channels, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId == R.id.battery) {
            startActivity(Intent(this, BatteryActivity::class.java))
            return true
        }
        if (item.itemId == R.id.settings) {
            startActivity(Intent(this, SettingsActivity::class.java))
            return true
        }
        return super.onOptionsItemSelected(item)
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        val link = data?.getStringExtra(ScanActivity.LINK)
        if (request == SCAN && link != null) {
            startActivity(JoinActivity.intent(this, link))
        }
    }

    private fun create(name: String) {
        act { model?.create(name)?.let { startActivity(ChatActivity.intent(this@ChannelsActivity, it)) } }
    }

    private fun bind(row: View, channel: ChannelSummary) {
        row.findViewById<TextView>(R.id.name).text = channel.name
        row.findViewById<TextView>(R.id.detail).text = details(channel).joinToString(" · ")
        val unread = channel.unread.coerceAtMost(MOST).toInt()
        row.findViewById<TextView>(R.id.unread).run {
            visibility = if (unread > 0) View.VISIBLE else View.GONE
            text = String.format(resources.configuration.locales[0], "%d", unread)
            contentDescription = resources.getQuantityString(R.plurals.channel_unread, unread, unread)
        }
    }

    private fun details(channel: ChannelSummary): List<String> = buildList {
        val members = channel.members.coerceAtMost(MOST).toInt()
        add(resources.getQuantityString(R.plurals.channel_members, members, members))
        when (channel.access) {
            AccessKind.FULL -> {}
            AccessKind.READ -> add(getString(R.string.channel_read_only))
            AccessKind.WRITE -> add(getString(R.string.channel_write_only))
        }
        if (channel.muted) {
            add(getString(R.string.channel_muted))
        }
        if (channel.moved) {
            add(getString(R.string.channel_moved))
        }
    }

    private companion object {
        const val SCAN = 1
        const val MOST: ULong = 99_999u
    }
}
