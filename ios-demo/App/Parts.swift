// Small parts that several screens share.

import AilurusDemoModel
import SwiftUI

extension View {
    /// Tells what did not work, until it is dismissed.
    func failureAlert(_ failure: Binding<Failure?>) -> some View {
        alert(
            failure.wrappedValue?.title ?? "",
            isPresented: Binding(get: { failure.wrappedValue != nil }, set: { if !$0 { failure.wrappedValue = nil } }),
            presenting: failure.wrappedValue
        ) { _ in
            Button(localized("failure.dismiss"), role: .cancel) {}
        } message: { failure in
            Text(failure.sentence)
        }
    }

    /// Puts a button there that closes the sheet.
    func closable() -> some View {
        toolbar {
            ToolbarItem(placement: .navigationBarLeading) { CloseButton() }
        }
    }
}

private struct CloseButton: View {
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        Button(localized("sheet.close")) { dismiss() }
    }
}
