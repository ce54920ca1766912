import Ailurus
import AilurusDemoModel
import SwiftUI
import UIKit

/// A channel's link as a QR code, and for other apps.
struct ShareView: View {
    @StateObject private var model: ShareModel

    init(model: @autoclosure @escaping () -> ShareModel) {
        _model = StateObject(wrappedValue: model())
    }

    var body: some View {
        NavigationView {
            Form {
                Section {
                    Picker(localized("share.access"), selection: $model.access) {
                        ForEach(model.choices, id: \.self) { Text($0.title).tag($0) }
                    }
                    Toggle(localized("share.history"), isOn: $model.history)
                }
                Section {
                    if let code = model.code {
                        QrCodeView(code: code)
                            .aspectRatio(1, contentMode: .fit)
                    }
                    if let text = model.sharedText {
                        ShareButton(text: text)
                    }
                } footer: {
                    Text(localized("share.hint"))
                }
            }
            .navigationTitle(localized("share.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .task(id: Wish(access: model.access, history: model.history)) { await model.load() }
        .failureAlert($model.failure)
    }
}

/// What the link shall give; when it changes, the link is made anew.
private struct Wish: Equatable {
    let access: AccessKind
    let history: Bool
}

/// A QR code, dark on light in dark mode too: readers want it so.
private struct QrCodeView: View {
    let code: QrCode

    var body: some View {
        Canvas { context, size in
            context.fill(Path(CGRect(origin: .zero, size: size)), with: .color(.white))
            let width = Int(code.width)
            let module = min(size.width, size.height) / CGFloat(width)
            var dark = Path()
            for (place, value) in code.modules.enumerated() where value == 1 {
                let (row, column) = place.quotientAndRemainder(dividingBy: width)
                dark.addRect(
                    CGRect(x: CGFloat(column) * module, y: CGFloat(row) * module, width: module, height: module)
                )
            }
            context.fill(dark, with: .color(.black))
        }
        .accessibilityElement()
        .accessibilityLabel(localized("share.code"))
    }
}

/// Hands the link to another app.
private struct ShareButton: View {
    let text: String
    @State private var sharing = false

    var body: some View {
        if #available(iOS 16, *) {
            ShareLink(item: text) {
                Label(localized("share.send"), systemImage: "square.and.arrow.up")
            }
        } else {
            Button {
                sharing = true
            } label: {
                Label(localized("share.send"), systemImage: "square.and.arrow.up")
            }
            .sheet(isPresented: $sharing) { ActivityView(text: text) }
        }
    }
}

private struct ActivityView: UIViewControllerRepresentable {
    let text: String

    func makeUIViewController(context: Context) -> UIActivityViewController {
        UIActivityViewController(activityItems: [text], applicationActivities: nil)
    }

    func updateUIViewController(_ controller: UIActivityViewController, context: Context) {}
}
