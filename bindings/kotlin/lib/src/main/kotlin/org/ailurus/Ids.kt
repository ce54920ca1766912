package org.ailurus

/** The id of a channel. Rotation changes it; former ids still find the channel. */
@JvmInline
public value class ChannelId(
    /** 64 hexadecimal digits. */
    public val text: String,
) {
    override fun toString(): String = text
}

/** The id of a message. It changes once, when a queued message is sealed; the former id still finds the message. */
@JvmInline
public value class MessageId(
    /** Hexadecimal digits. */
    public val text: String,
) {
    override fun toString(): String = text
}

/** The key of a super node, which is its identity. */
@JvmInline
public value class NodeKey(
    /** Hexadecimal digits. */
    public val text: String,
) {
    override fun toString(): String = text
}

/** The key of an author: who they really are, whatever name they claim. */
@JvmInline
public value class PublicKey(
    /** Hexadecimal digits. */
    public val text: String,
) {
    override fun toString(): String = text
}
