package org.ailurus.demo.model

import org.ailurus.AilurusException
import org.ailurus.ChannelId
import org.ailurus.Client
import org.ailurus.LinkInfo
import org.ailurus.inspectLink
import org.ailurus.readQrLuma

/** A link, and what it is for. */
data class FoundLink(val text: String, val info: LinkInfo)

/** What a link led to. */
sealed class Accepted {
    data class Joined(val channel: ChannelId) : Accepted()

    data object NodeAdded : Accepted()
}

/** Links from cameras, other apps and the clipboard. */
object Links {
    /** What apps that know the scheme open. */
    private const val SCHEME = "ailurus:"

    /** For other apps. It stays what it is if it is that already. */
    fun toShare(link: String): String = SCHEME + link.removePrefix(SCHEME)

    /**
     * The link in a text, which may be nothing but the link or a message around it.
     *
     * @throws AilurusException.BadLink which says what is wrong with the text as a link.
     */
    fun find(text: String): FoundLink {
        val whole = try {
            return FoundLink(text.trim(), inspectLink(text))
        } catch (exception: AilurusException.BadLink) {
            exception
        }
        // Links are letters and digits; what stands around them is punctuation.
        val words = text.split(Regex("\\s+")).map { word -> word.trim { !it.isLetterOrDigit() } }.filter { it.isNotEmpty() }
        return words.firstNotNullOfOrNull(::findOrNull) ?: throw whole
    }

    /** The link in a camera's frame: its luma plane, [rowStride] bytes a row. Null if there is none, as mostly. */
    fun inFrame(width: Int, height: Int, rowStride: Int, luma: ByteArray): FoundLink? = try {
        readQrLuma(width.toUInt(), height.toUInt(), rowStride.toUInt(), luma).firstNotNullOfOrNull(::findOrNull)
    } catch (_: AilurusException.NoCode) {
        null
    }

    /** Does what a link is for. */
    suspend fun accept(client: Client, link: FoundLink, name: String? = null): Accepted = when (link.info) {
        is LinkInfo.Channel -> client.join(link.text, name?.takeIf { it.isNotBlank() }).use { Accepted.Joined(it.id()) }

        is LinkInfo.Node -> {
            client.addNode(link.text)
            Accepted.NodeAdded
        }

        is LinkInfo.Invitation -> {
            client.addInvitation(link.text)
            Accepted.NodeAdded
        }
    }

    private fun findOrNull(text: String): FoundLink? = try {
        FoundLink(text, inspectLink(text))
    } catch (_: AilurusException.BadLink) {
        null
    }
}
