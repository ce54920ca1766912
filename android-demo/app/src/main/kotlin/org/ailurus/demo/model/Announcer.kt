package org.ailurus.demo.model

import org.ailurus.AilurusException
import org.ailurus.ChannelId
import org.ailurus.ChannelSummary
import org.ailurus.Client
import org.ailurus.Event
import org.ailurus.Message
import org.ailurus.Notice
import org.ailurus.NoticeKind
import org.ailurus.PollReport

/** Something for a notification. A channel has at most one of each kind on the screen. */
sealed class Announcement {
    abstract val channel: ChannelSummary

    /** [count] unread messages, of which this is the newest. */
    data class Messages(
        override val channel: ChannelSummary,
        val author: String,
        val text: String,
        val count: Int,
    ) : Announcement()

    data class Joined(override val channel: ChannelSummary, val name: String) : Announcement()

    /** The channel has new keys. */
    data class Rotated(override val channel: ChannelSummary) : Announcement()

    /** The channel went on without us. */
    data class Moved(override val channel: ChannelSummary) : Announcement()
}

/** Decides what is worth a notification: nothing of a muted channel, and nothing of the one on the screen. */
class Announcer(private val client: Client) {
    /** The channel on the screen. */
    @Volatile
    private var watched: Watched? = null

    /** This [channel] is on the screen now. [screen] tells apart who says so, and is nothing else to us. */
    @Synchronized
    fun watch(screen: Any, channel: ChannelId) {
        watched = Watched(screen, channel)
    }

    /** This screen ends. What is shown by another, as by the one that took its place, stays. */
    @Synchronized
    fun unwatch(screen: Any) {
        if (watched?.screen === screen) {
            watched = null
        }
    }

    /** What an event is worth while the app runs. */
    suspend fun announce(event: Event): Announcement? = when (event) {
        is Event.Received -> messages(listOf(event.message))
        is Event.Noticed -> notice(event.notice)
        else -> null
    }

    /** What a poll in the background is worth. */
    suspend fun announce(report: PollReport): List<Announcement> {
        val perChannel = report.messages.groupBy { it.channel }.values
        return perChannel.mapNotNull { messages(it) } + report.notices.mapNotNull { notice(it) }
    }

    private suspend fun messages(messages: List<Message>): Announcement? {
        val newest = messages.lastOrNull { !it.own } ?: return null
        val channel = worth(newest.channel) ?: return null
        val author = newest.authorName.ifEmpty { newest.author.text.take(KEY_DIGITS) }
        return Announcement.Messages(channel, author, newest.text, channel.unread.toInt().coerceAtLeast(1))
    }

    private suspend fun notice(notice: Notice): Announcement? = when (val kind = notice.kind) {
        is NoticeKind.Joined -> worth(kind.channel)?.let { Announcement.Joined(it, kind.name) }

        is NoticeKind.Rotated -> worth(kind.to)?.let { Announcement.Rotated(it) }

        is NoticeKind.Moved -> worth(kind.channel)?.let { Announcement.Moved(it) }

        else -> null
    }

    private suspend fun worth(id: ChannelId): ChannelSummary? {
        val channel = try {
            client.channel(id).use { it.summary() }
        } catch (_: AilurusException.NotFound) {
            // Left meanwhile.
            return null
        }
        val watched = watched?.channel
        return channel.takeIf { !it.muted && it.id != watched && id != watched }
    }

    private class Watched(val screen: Any, val channel: ChannelId)
}
