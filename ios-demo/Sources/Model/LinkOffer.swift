import Ailurus
import Foundation

/// A link that someone scanned, opened or pasted, before they agree to what it does.
public struct LinkOffer: Equatable, Identifiable {
    /// The link, as `join`, `addNode` and `addInvitation` take it.
    public let text: String
    /// What it is for.
    public let info: LinkInfo

    public var id: String { text }

    /// Takes the first link in a text, which may be nothing else or a message with words and punctuation around it.
    /// Fails with `BadLink`, which says what is wrong with the whole as a link.
    public init(text: String) throws {
        do {
            info = try inspectLink(text: text)
            self.text = text
        } catch {
            // Links are letters and digits, so what else stands at a word's ends is no part of one.
            let words = text.split(whereSeparator: \.isWhitespace).lazy
                .map { $0.trimmingCharacters(in: .alphanumerics.inverted) }
            let found = words.compactMap { word in
                (try? inspectLink(text: word)).map { (text: word, info: $0) }
            }
            guard let link = found.first else { throw error }
            (self.text, info) = link
        }
    }
}

extension Client {
    /// Adds a super node by its link, or by an invitation to it.
    func add(node link: String) async throws {
        if case .invitation = try inspectLink(text: link) {
            try await addInvitation(invitation: link)
        } else {
            try await addNode(link: link)
        }
    }
}
