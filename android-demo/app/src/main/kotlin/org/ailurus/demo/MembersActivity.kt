package org.ailurus.demo

import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.widget.ListView
import android.widget.TextView
import org.ailurus.Channel
import org.ailurus.ChannelId
import org.ailurus.Client
import org.ailurus.Member
import org.ailurus.demo.model.Members
import org.ailurus.demo.model.MembersModel

/** Who writes in a channel, and what is done with the channel as a whole. */
class MembersActivity : Screen() {
    private lateinit var adapter: RowAdapter<Member>
    private var channel: Channel? = null
    private var model: MembersModel? = null
    private var members: Members? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.members)
        adapter = RowAdapter(layoutInflater, R.layout.member_row, { it.author.text }, ::bind)
        val list = findViewById<ListView>(R.id.list)
        list.adapter = adapter
        list.setOnItemClickListener { _, _, at, _ -> leaveOut(adapter.rows[at]) }
    }

    override suspend fun show(client: Client) {
        val channel = channel ?: client.channel(ChannelId(intent.getStringExtra(CHANNEL).orEmpty()))
        this.channel = channel
        val model = model ?: MembersModel(client, channel).also { model = it }
        model.members.collect {
            members = it
            adapter.rows = it.members
            invalidateOptionsMenu()
        }
    }

    override fun onDestroy() {
        super.onDestroy()
        channel?.close()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.members, menu)
        return true
    }

    override fun onPrepareOptionsMenu(menu: Menu): Boolean {
        menu.findItem(R.id.mute).isChecked = members?.channel?.muted == true
        return super.onPrepareOptionsMenu(menu)
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        val model = model ?: return super.onOptionsItemSelected(item)
        when (item.itemId) {
            R.id.mute -> act { model.mute(!item.isChecked) }

            R.id.rename -> askText(R.string.channels_name, members?.channel?.name.orEmpty()) {
                act { model.rename(it) }
            }

            R.id.leave -> ask(getString(R.string.members_leave_question), R.string.members_leave) { leave(model) }

            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    private fun leave(model: MembersModel) {
        act {
            model.leave()
            setResult(LEFT)
            finish()
        }
    }

    private fun leaveOut(member: Member) {
        if (members?.mayLeaveOut(member) != true) {
            return
        }
        ask(getString(R.string.members_rotate_question, MembersModel.label(member)), R.string.members_rotate) {
            act { model?.rotateWithout(member) }
        }
    }

    private fun bind(row: View, member: Member) {
        val label = MembersModel.label(member)
        row.findViewById<TextView>(R.id.name).text = if (member.own) getString(R.string.member_you, label) else label
        val details = details(member)
        row.findViewById<TextView>(R.id.detail).run {
            text = details.joinToString("\n")
            visibility = if (details.isEmpty()) View.GONE else View.VISIBLE
        }
        row.findViewById<TextView>(R.id.number).run {
            val number = MembersModel.inGroups(member.safetyNumber)
            text = number
            contentDescription = getString(R.string.member_number, number)
            visibility = if (member.own) View.GONE else View.VISIBLE
        }
    }

    private fun details(member: Member): List<String> = buildList {
        if (member.removed) {
            add(getString(R.string.member_removed))
        }
        if (member.writeOnly) {
            add(getString(R.string.member_write_only))
        }
        if (member.nameTaken) {
            add(getString(R.string.member_name_taken))
        }
        if (member.forked) {
            add(getString(R.string.member_forked))
        }
    }

    companion object {
        /** The result when the channel was left. */
        const val LEFT: Int = RESULT_FIRST_USER
        private const val CHANNEL = "channel"

        fun intent(context: Context, channel: ChannelId): Intent =
            Intent(context, MembersActivity::class.java).putExtra(CHANNEL, channel.text)
    }
}
