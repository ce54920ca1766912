package org.ailurus.demo

import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.RadioButton
import android.widget.RadioGroup
import kotlinx.coroutines.Job
import org.ailurus.AccessKind
import org.ailurus.Channel
import org.ailurus.ChannelId
import org.ailurus.Client
import org.ailurus.demo.model.Share
import org.ailurus.demo.model.ShareModel

/** Shares a channel: a QR code for the phone beside this one, a link for others. */
class ShareActivity : Screen() {
    private val buttons = mapOf(
        AccessKind.FULL to R.id.full,
        AccessKind.READ to R.id.read,
        AccessKind.WRITE to R.id.write,
    )
    private lateinit var access: RadioGroup
    private lateinit var history: CheckBox
    private var channel: Channel? = null
    private var model: ShareModel? = null
    private var share: Share? = null
    private var drawing: Job? = null

    override val secret = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.share)
        access = findViewById(R.id.access)
        history = findViewById(R.id.history)
        access.setOnCheckedChangeListener { _, _ -> draw() }
        history.setOnCheckedChangeListener { _, _ -> draw() }
        findViewById<Button>(R.id.send).setOnClickListener { send() }
    }

    override suspend fun show(client: Client) {
        val channel = channel ?: client.channel(ChannelId(intent.getStringExtra(CHANNEL).orEmpty()))
        this.channel = channel
        val model = ShareModel(channel).also { model = it }
        val offers = model.offers()
        for ((kind, button) in buttons) {
            findViewById<RadioButton>(button).visibility = if (kind in offers) View.VISIBLE else View.GONE
        }
        if (access.checkedRadioButtonId == View.NO_ID) {
            offers.firstOrNull()?.let { access.check(buttons.getValue(it)) }
        } else {
            draw()
        }
    }

    override fun onDestroy() {
        super.onDestroy()
        channel?.close()
    }

    private fun draw() {
        val model = model ?: return
        val kind = buttons.entries.firstOrNull { it.value == access.checkedRadioButtonId }?.key ?: return
        drawing?.cancel()
        drawing = act {
            show(null)
            show(model.share(kind, history.isChecked))
        }
    }

    private fun show(share: Share?) {
        this.share = share
        findViewById<QrView>(R.id.code).code = share?.code
        findViewById<Button>(R.id.send).isEnabled = share != null
    }

    private fun send() {
        val share = share ?: return
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, share.text)
        startActivity(Intent.createChooser(send, getString(R.string.share_send)))
    }

    companion object {
        private const val CHANNEL = "channel"

        fun intent(context: Context, channel: ChannelId): Intent =
            Intent(context, ShareActivity::class.java).putExtra(CHANNEL, channel.text)
    }
}
