package org.ailurus.demo

import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.text.format.DateUtils
import android.view.Gravity
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.widget.AbsListView
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ListView
import android.widget.TextView
import java.text.DateFormat
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import org.ailurus.Channel
import org.ailurus.ChannelId
import org.ailurus.ChannelSummary
import org.ailurus.Client
import org.ailurus.MessageState
import org.ailurus.demo.model.ChatModel
import org.ailurus.demo.model.ChatRow

/** One chat. */
class ChatActivity : Screen() {
    private lateinit var adapter: RowAdapter<ChatRow>
    private lateinit var list: ListView
    private lateinit var text: EditText
    private var channel: Channel? = null
    private var model: ChatModel? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.chat)
        adapter = RowAdapter(layoutInflater, R.layout.message_row, { it.id.text }, ::bind)
        list = findViewById(R.id.list)
        list.adapter = adapter
        list.setOnItemLongClickListener { _, _, at, _ ->
            delete(adapter.rows[at])
            true
        }
        list.setOnScrollListener(object : AbsListView.OnScrollListener {
            override fun onScrollStateChanged(view: AbsListView, state: Int) {
                if (state == AbsListView.OnScrollListener.SCROLL_STATE_IDLE && list.firstVisiblePosition == 0) {
                    model?.earlier()
                }
            }

            override fun onScroll(view: AbsListView, first: Int, visible: Int, total: Int) = markRead(first + visible)
        })
        text = findViewById(R.id.text)
        findViewById<Button>(R.id.send).setOnClickListener { send() }
    }

    override suspend fun show(client: Client) {
        val id = channelId()
        val channel = channel ?: client.channel(id).also { channel = it }
        val model = model ?: ChatModel(client, channel).also { model = it }
        app.notifications().clear(id)
        // Each start has its own: the one before may end after this one began.
        val screen = Any()
        app.announcer?.watch(screen, channel.summary().id)
        try {
            coroutineScope {
                launch {
                    model.summary.collect {
                        app.announcer?.watch(screen, it.id)
                        show(it)
                    }
                }
                launch { model.rows.collect { adapter.rows = it } }
            }
        } finally {
            app.announcer?.unwatch(screen)
        }
    }

    override fun onDestroy() {
        super.onDestroy()
        channel?.close()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.chat, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        when (item.itemId) {
            R.id.share -> startActivity(ShareActivity.intent(this, channelId()))
            R.id.members -> startActivityForResult(MembersActivity.intent(this, channelId()), MEMBERS)
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (request == MEMBERS && result == MembersActivity.LEFT) {
            finish()
        }
    }

    private fun channelId() = ChannelId(intent.getStringExtra(CHANNEL).orEmpty())

    private fun show(summary: ChannelSummary) {
        title = summary.name
        val notice = when {
            summary.moved -> R.string.chat_moved
            !ChatModel.maySend(summary) -> R.string.chat_read_only
            else -> null
        }
        findViewById<TextView>(R.id.notice).run {
            visibility = if (notice == null) View.GONE else View.VISIBLE
            notice?.let(::setText)
        }
        findViewById<View>(R.id.composer).visibility = if (notice == null) View.VISIBLE else View.GONE
    }

    private fun send() {
        val model = model ?: return
        act {
            if (model.send(text.text.toString())) {
                text.text.clear()
                list.setSelection(adapter.count)
            }
        }
    }

    private fun delete(row: ChatRow) {
        ask(getString(R.string.chat_delete), R.string.chat_delete_action) { act { model?.delete(row.id) } }
    }

    /** Rows before [end] have been on the screen. */
    private fun markRead(end: Int) {
        val newest = adapter.rows.take(end).lastOrNull { it.state == MessageState.RECEIVED } ?: return
        act { model?.markRead(newest.id) }
    }

    private fun bind(view: View, row: ChatRow) {
        val own = row.state != MessageState.RECEIVED
        view.findViewById<LinearLayout>(R.id.row).gravity = if (own) Gravity.END else Gravity.START
        view.findViewById<LinearLayout>(R.id.foot).gravity = if (own) Gravity.END else Gravity.START
        view.findViewById<TextView>(R.id.body).run {
            text = row.text
            gravity = if (own) Gravity.END else Gravity.START
        }
        view.findViewById<TextView>(R.id.author).run {
            text = if (own) getString(R.string.chat_you) else row.author
            gravity = if (own) Gravity.END else Gravity.START
        }
        view.findViewById<TextView>(R.id.time).text =
            DateUtils.formatSameDayTime(row.time.toEpochMilli(), System.currentTimeMillis(), DateFormat.MEDIUM, DateFormat.SHORT)
        view.findViewById<TextView>(R.id.state).run {
            text = mark(row.state)
            contentDescription = description(row.state)?.let(::getString)
            visibility = if (own) View.VISIBLE else View.GONE
        }
    }

    private fun mark(state: MessageState): String = when (state) {
        MessageState.QUEUED -> "○"
        MessageState.AT_NODE -> "✓"
        MessageState.EXPIRED -> "!"
        MessageState.RECEIVED -> ""
    }

    private fun description(state: MessageState): Int? = when (state) {
        MessageState.QUEUED -> R.string.state_queued
        MessageState.AT_NODE -> R.string.state_at_node
        MessageState.EXPIRED -> R.string.state_expired
        MessageState.RECEIVED -> null
    }

    companion object {
        private const val CHANNEL = "channel"
        private const val MEMBERS = 1

        fun intent(context: Context, channel: ChannelId): Intent =
            Intent(context, ChatActivity::class.java).putExtra(CHANNEL, channel.text)
    }
}
