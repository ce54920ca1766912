package org.ailurus.demo.model

import java.time.Instant
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.flatMapLatest
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import org.ailurus.AccessKind
import org.ailurus.AilurusException
import org.ailurus.Channel
import org.ailurus.ChannelSummary
import org.ailurus.Client
import org.ailurus.Message
import org.ailurus.MessageId
import org.ailurus.MessageState
import org.ailurus.latest

/** A message as the chat shows it. */
data class ChatRow(
    val id: MessageId,
    /** The claimed name, or the beginning of the key before an introduction; empty for our own. */
    val author: String,
    val text: String,
    val time: Instant,
    val state: MessageState,
)

/** One chat. */
@OptIn(ExperimentalCoroutinesApi::class)
class ChatModel(private val client: Client, private val channel: Channel) {
    private data class Shown(val limit: Int, val reading: Int)

    private val shown = MutableStateFlow(Shown(PAGE, 0))
    private var readUpTo: MessageId? = null

    /** The newest messages, oldest first: now, and when something changes. */
    val rows: Flow<List<ChatRow>> = shown
        .flatMapLatest { channel.latest(it.limit) }
        .map { messages -> messages.map(::row) }

    /** The channel itself: its name, whether it moved, what we may do. */
    val summary: Flow<ChannelSummary> = client.ticks()
        .map { channel.summary() }
        .catch { if (it !is AilurusException.NotFound) throw it } // left, and about to be closed
        .distinctUntilChanged()

    /** Shows earlier messages too. */
    fun earlier() {
        shown.update { it.copy(limit = it.limit + PAGE) }
    }

    /** False if there is nothing to send. */
    suspend fun send(text: String): Boolean {
        val trimmed = text.trim()
        if (trimmed.isEmpty()) {
            return false
        }
        channel.send(trimmed)
        read()
        return true
    }

    /** Deletes a message on this phone. */
    suspend fun delete(id: MessageId) {
        client.deleteMessage(id)
        read()
    }

    /** Everything up to this message has been on the screen. */
    suspend fun markRead(id: MessageId) {
        if (id != readUpTo) {
            client.markReadUpTo(id)
            readUpTo = id
        }
    }

    /** Reads again: what this app did itself is no event. */
    private fun read() {
        shown.update { it.copy(reading = it.reading + 1) }
    }

    companion object {
        /** How many messages are read at a time. */
        const val PAGE: Int = 50

        fun maySend(channel: ChannelSummary): Boolean = channel.access != AccessKind.READ && !channel.moved

        private fun row(message: Message) = ChatRow(
            id = message.id,
            author = if (message.own) "" else message.authorName.ifEmpty { message.author.text.take(KEY_DIGITS) },
            text = message.text,
            time = message.time,
            state = message.state,
        )
    }
}

/** The digits of a key that stand for a name that is not known yet. */
internal const val KEY_DIGITS = 8
