import Ailurus
import Foundation

/// Something that did not work, as a person is told.
public struct Failure: Error, Equatable {
    /// The library's error; nothing if the fault was elsewhere, as with a file that cannot be copied.
    public let error: AilurusError?
    /// What to do next, as an English sentence.
    public let sentence: String

    public init(_ error: any Error) {
        switch error {
        case let failure as Failure:
            self = failure
        case let error as AilurusError:
            self.error = error
            sentence = error.message
        default:
            self.error = nil
            sentence = error.localizedDescription
        }
    }
}

/// A model that tells what did not work.
@MainActor
public protocol FailureTelling: AnyObject {
    /// What did not work last, until it was shown.
    var failure: Failure? { get set }
}

extension FailureTelling {
    /// Does something, and tells if it did not work. What was cancelled is no failure, and neither is what the system
    /// suspended: nobody was looking, and it is done again when somebody does.
    @discardableResult
    func attempt<Value>(_ work: () async throws -> Value) async -> Value? {
        do {
            return try await work()
        } catch is CancellationError {
            return nil
        } catch AilurusError.Cancelled, AilurusError.Suspended {
            return nil
        } catch {
            failure = Failure(error)
            return nil
        }
    }
}
