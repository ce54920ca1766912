import Ailurus

/// A link that someone scanned, opened or pasted, before they agree to what it does.
public struct LinkOffer: Equatable, Identifiable {
    /// The link as it came.
    public let text: String
    /// What it is for.
    public let info: LinkInfo

    public var id: String { text }

    /// Fails with `BadLink` if it is none.
    public init(text: String) throws {
        info = try inspectLink(text: text)
        self.text = text
    }
}
