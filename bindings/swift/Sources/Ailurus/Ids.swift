/// An id as hexadecimal text. Each kind of id is a type of its own, so that none is taken for another.
///
/// The text is not checked when an id is made of it: the call that it is given to fails with ``AilurusError/BadInput(message:)``
/// if it is no such id.
public protocol HexId: Hashable, Sendable, Codable, CustomStringConvertible {
    /// The hexadecimal text, in lower case.
    var text: String { get }
    /// An id from its text, such as one that the app has stored.
    init(text: String)
}

extension HexId {
    /// The text.
    public var description: String { text }

    /// Reads it as a single string.
    public init(from decoder: Decoder) throws {
        self.init(text: try decoder.singleValueContainer().decode(String.self))
    }

    /// Writes it as a single string.
    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// The id of a channel. A rotation changes it; former ids still find the channel.
public struct ChannelId: HexId {
    public let text: String
    public init(text: String) { self.text = text }
}

/// The id of a message. It is provisional while the message waits unsealed in the outbox; that one finds it ever after.
public struct MessageId: HexId {
    public let text: String
    public init(text: String) { self.text = text }
}

/// The key of a super node, by which it is recognised.
public struct NodeKey: HexId {
    public let text: String
    public init(text: String) { self.text = text }
}

/// The key of an author: who it really is, whatever name they claim.
public struct PublicKey: HexId {
    public let text: String
    public init(text: String) { self.text = text }
}
