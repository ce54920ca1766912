package org.ailurus

import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.channels.trySendBlocking
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.takeWhile

/**
 * What happens in this client, from when it is collected. A collector that is too slow for more than 1,024 events gets
 * [Event.Lagged] in their place; it holds nobody else up.
 *
 * It ends when the client is shut down. Each collector has a thread of its own, so share the flow (`shareIn`) rather
 * than collect it in many places.
 */
public fun Client.events(): Flow<Event> = heard(::listen).filterNotNull()

/**
 * The newest [limit] messages of this channel, oldest first: now, and again whenever something changes in them. A slow
 * collector gets the newest state and not each one between. It ends when the client is shut down or the channel is left.
 *
 * Fails as [Channel.messages] does; with [AilurusException.NotFound] if the channel was left before.
 */
public fun Channel.latest(limit: Int): Flow<List<Message>> = flow {
    require(limit >= 0) { "$limit messages cannot be read" }
    val concerned = Concerned(this@latest)
    val changes = heard(::listen).filter { it == null || concerned.by(it) }.conflate()
    emit(messages(Page.Latest, limit.toUInt()))
    val pages = changes.map {
        try {
            messages(Page.Latest, limit.toUInt())
        } catch (_: AilurusException.NotFound) {
            null // It was left.
        }
    }
    emitAll(pages.takeWhile { it != null }.filterNotNull().endsWithClient())
}.distinctUntilChanged()

/**
 * Where a message stands: now, and again whenever that changes. The id may be the one that it was queued under.
 *
 * Fails with [AilurusException.NotFound] if there is no such message.
 */
public fun Client.states(id: MessageId): Flow<MessageState> = flow {
    emit(message(id).state)
    val changes = heard(::listen).filter { it == null || it is Event.State || it is Event.Lagged }.conflate()
    emitAll(changes.map { message(id).state }.endsWithClient())
}.distinctUntilChanged()

/**
 * All messages of a channel, newest first. [pageSize] of them are held at a time, and what arrives meanwhile is left
 * out.
 *
 * Fails as [Channel.messages] does; with [AilurusException.NotFound] if the message that a page ended with is deleted
 * before the next one is read.
 */
public fun Channel.history(pageSize: Int = 100): Flow<Message> {
    require(pageSize > 0) { "a page holds at least one message, not $pageSize" }
    return flow {
        var page: Page = Page.Latest
        while (true) {
            val messages = messages(page, pageSize.toUInt())
            val oldest = messages.firstOrNull() ?: return@flow
            messages.asReversed().forEach { emit(it) }
            page = Page.Before(oldest.id)
        }
    }
}

/** A client that is shut down between an event and what is read then is an end, and no failure. */
private fun <T> Flow<T>.endsWithClient(): Flow<T> = catch { if (it !is AilurusException.Closed) throw it }

/** All events, and once null: by then they are heard. */
private fun heard(listen: (Listener) -> Subscription): Flow<Event?> = callbackFlow {
    val subscription = listen(object : Listener {
        override fun onEvent(event: Event) {
            if (event == Event.Ended) {
                close()
            } else {
                // Blocks the thread of this listener alone, which is how the core learns that it lags.
                trySendBlocking(event)
            }
        }
    })
    send(null)
    awaitClose {
        subscription.stop()
        subscription.close()
    }
}

/** Tells which events concern a channel, whose id changes when it is rotated. */
private class Concerned(private val channel: Channel) {
    private val others = HashSet<ChannelId>()

    suspend fun by(event: Event): Boolean {
        val id = when (event) {
            is Event.Lagged -> return true
            is Event.Received -> event.message.channel
            is Event.Changed -> event.channel
            is Event.State -> event.channel
            is Event.Noticed -> event.notice.kind.channel() ?: return false
            is Event.Connected, is Event.Ended -> return false
        }
        if (id in others) {
            return false
        }
        val ours = id == channel.id() || try {
            id == channel.summary().id
        } catch (_: AilurusException.NotFound) {
            true // It was left, which is a change.
        }
        if (!ours) {
            others.add(id)
        }
        return ours
    }
}

private fun NoticeKind.channel(): ChannelId? = when (this) {
    is NoticeKind.Expired -> channel
    is NoticeKind.Joined -> channel
    is NoticeKind.Rotated -> to
    is NoticeKind.Moved -> channel
    is NoticeKind.NameTaken -> channel
    is NoticeKind.Forked -> channel
    is NoticeKind.Clock, is NoticeKind.Missed, is NoticeKind.Dropped -> null
    is NoticeKind.Refused, is NoticeKind.Storage, is NoticeKind.Unreachable, is NoticeKind.Withheld -> null
}
