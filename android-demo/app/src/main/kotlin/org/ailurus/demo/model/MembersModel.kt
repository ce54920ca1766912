package org.ailurus.demo.model

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.update
import org.ailurus.Channel
import org.ailurus.ChannelSummary
import org.ailurus.Client
import org.ailurus.Member

/** A channel and who writes in it. */
data class Members(val channel: ChannelSummary, val members: List<Member>) {
    /** Whether a rotation without this member is ours to make. */
    fun mayLeaveOut(member: Member): Boolean = channel.admin && !member.own && !member.removed
}

/** The members of a channel, and what is done with the channel as a whole. */
class MembersModel(private val client: Client, private val channel: Channel) {
    private val readings = MutableStateFlow(0)

    val members: Flow<Members> =
        combine(readings, client.ticks()) { _, _ ->
            Members(channel.summary(), channel.members())
        }.distinctUntilChanged()

    /** Moves the channel to new keys and leaves [member] out. */
    suspend fun rotateWithout(member: Member): Unit = changing { channel.rotate(listOf(member.author)) }

    suspend fun rename(name: String): Unit = changing { channel.rename(name.trim()) }

    suspend fun mute(muted: Boolean): Unit = changing { channel.mute(muted) }

    suspend fun leave(): Unit = channel.leave()

    private suspend fun changing(work: suspend () -> Any) {
        work()
        readings.update { it + 1 }
    }

    companion object {
        /** 60 digits as people read them out: groups of five. */
        fun inGroups(safetyNumber: String): String =
            safetyNumber.filter { it.isDigit() }.chunked(5).joinToString(" ")

        /** What to call a member: the claimed name, or the beginning of the key before an introduction. */
        fun label(member: Member): String = member.name.ifEmpty { member.author.text.take(KEY_DIGITS) }
    }
}
