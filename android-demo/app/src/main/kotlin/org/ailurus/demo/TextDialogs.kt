package org.ailurus.demo

import android.app.Activity
import android.app.AlertDialog
import android.text.InputType
import android.view.View
import android.widget.EditText
import android.widget.TextView
import android.widget.Toast

/** Asks for one line. */
internal fun Activity.askText(title: Int, before: String = "", answer: (String) -> Unit) {
    val field = EditText(this).apply {
        inputType = InputType.TYPE_CLASS_TEXT or InputType.TYPE_TEXT_FLAG_CAP_SENTENCES
        maxLines = 1
        hint = getString(title)
        setText(before)
    }
    AlertDialog.Builder(this)
        .setTitle(title)
        .setView(field)
        .setPositiveButton(android.R.string.ok) { _, _ -> answer(field.text.toString()) }
        .setNegativeButton(android.R.string.cancel, null)
        .show()
}

/** Asks for a passphrase: twice if it is a new one. */
internal fun Activity.askPassphrase(new: Boolean, answer: (String) -> Unit) {
    val view = layoutInflater.inflate(R.layout.passphrase, null)
    val first = view.findViewById<EditText>(R.id.passphrase)
    val second = view.findViewById<EditText>(R.id.again)
    if (!new) {
        second.visibility = View.GONE
        view.findViewById<TextView>(R.id.again_label).visibility = View.GONE
    }
    val dialog = AlertDialog.Builder(this)
        .setView(view)
        .setPositiveButton(android.R.string.ok, null)
        .setNegativeButton(android.R.string.cancel, null)
        .show()
    // The button's own listener would close the dialog over a mistake.
    dialog.getButton(AlertDialog.BUTTON_POSITIVE).setOnClickListener {
        val passphrase = first.text.toString()
        val mistake = when {
            passphrase.isEmpty() -> R.string.passphrase_empty
            new && passphrase != second.text.toString() -> R.string.passphrase_differs
            else -> null
        }
        if (mistake == null) {
            dialog.dismiss()
            answer(passphrase)
        } else {
            Toast.makeText(this, mistake, Toast.LENGTH_LONG).show()
        }
    }
}
