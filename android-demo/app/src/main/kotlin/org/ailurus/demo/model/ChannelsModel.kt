package org.ailurus.demo.model

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map
import org.ailurus.ChannelId
import org.ailurus.ChannelSummary
import org.ailurus.Client

/** The list of channels. */
class ChannelsModel(private val client: Client) {
    /** All channels, those with unread messages first: now, and when something arrives. */
    val channels: Flow<List<ChannelSummary>> =
        client.ticks()
            .map { client.channels().sortedByDescending { channel -> channel.unread > 0u } }
            .distinctUntilChanged()

    /** Makes a channel; its admin is this profile. */
    suspend fun create(name: String): ChannelId = client.createChannel(name.trim()).use { it.id() }
}
