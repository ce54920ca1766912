import Ailurus
import AilurusDemoModel
import SwiftUI

/// Who writes in a channel, with safety numbers; an admin leaves members out here.
struct MembersView: View {
    @StateObject private var model: MembersModel
    @State private var rotating = false

    init(model: @autoclosure @escaping () -> MembersModel) {
        _model = StateObject(wrappedValue: model())
    }

    var body: some View {
        NavigationView {
            List {
                Section {
                    ForEach(model.members, id: \.author) { member in
                        MemberRow(
                            member: member,
                            chosen: model.chosen.contains(member.author),
                            toggle: model.admin ? { model.toggle(member) } : nil,
                            appoint: model.admin ? { Task { await model.appoint(member) } } : nil
                        )
                    }
                } footer: {
                    Text(localized("members.hint"))
                }
                if model.admin {
                    Section {
                        Button(localized("rotate.title")) { rotating = true }
                    } footer: {
                        Text(localized("rotate.hint"))
                    }
                }
            }
            .navigationTitle(localized("members.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .task { await model.load() }
        .confirmationDialog(
            localized("rotate.question %lld", Int64(model.chosen.count)),
            isPresented: $rotating,
            titleVisibility: .visible
        ) {
            Button(localized("rotate.confirm"), role: .destructive) {
                Task { _ = await model.rotate() }
            }
        }
        .failureAlert($model.failure)
    }
}

private struct MemberRow: View {
    let member: Member
    let chosen: Bool
    /// Chooses the member to be left out; nothing if this profile is no admin.
    let toggle: (() -> Void)?
    let appoint: (() -> Void)?

    var body: some View {
        VStack(alignment: .leading, spacing: 4) {
            HStack {
                Text(member.name.isEmpty ? localized("chat.unknown") : member.name)
                    .font(.headline)
                Spacer()
                if let toggle, !member.own, !member.removed {
                    Toggle(localized("members.remove"), isOn: Binding(get: { chosen }, set: { _ in toggle() }))
                        .labelsHidden()
                        .accessibilityLabel(localized("members.remove"))
                }
            }
            ForEach(member.remarks, id: \.self) { remark in
                Text(remark)
                    .font(.footnote)
                    .foregroundColor(.secondary)
            }
            if !member.own {
                Text(member.safetyNumber)
                    .font(.footnote.monospaced())
                    .textSelection(.enabled)
                    .accessibilityLabel(localized("members.safety %@", member.safetyNumber))
            }
        }
        .contextMenu {
            if let appoint, !member.own, !member.removed {
                Button(localized("members.appoint"), action: appoint)
            }
        }
    }
}
