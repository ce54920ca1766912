package org.ailurus.demo.model

import org.ailurus.AccessKind
import org.ailurus.Channel
import org.ailurus.ChannelSummary
import org.ailurus.QrCode
import org.ailurus.drawQr

/** A link, ready to be shown and sent. */
class Share(
    /** For other apps. */
    val text: String,
    /** For the camera of the phone beside this one. */
    val code: QrCode,
)

/** Sharing a channel. */
class ShareModel(private val channel: Channel) {
    /** What may be given on: no more than we have, and no write-only access to a redPanda channel. */
    suspend fun offers(): List<AccessKind> = offers(channel.summary())

    suspend fun share(access: AccessKind, history: Boolean): Share {
        val link = channel.link(access, history)
        return Share(Links.toShare(link), drawQr(link))
    }

    companion object {
        internal fun offers(channel: ChannelSummary): List<AccessKind> = when (channel.access) {
            AccessKind.FULL ->
                listOf(AccessKind.FULL, AccessKind.READ) + listOf(AccessKind.WRITE).filter { !channel.redpanda }

            else -> listOf(channel.access)
        }
    }
}
