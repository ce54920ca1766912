package org.ailurus.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import org.ailurus.QrCode

/** Draws a QR code as large as it gets, dark on light in every theme: many readers take nothing else. */
class QrView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val dark = Paint().apply { color = Color.BLACK }

    /** What is drawn; its quiet zone is part of it. */
    var code: QrCode? = null
        set(value) {
            field = value
            invalidate()
        }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val code = code ?: return
        val side = code.width.toInt()
        // Whole pixels, so that no edge is blurred.
        val module = minOf(width, height) / side
        if (module == 0) {
            return
        }
        canvas.drawColor(Color.WHITE)
        val left = (width - module * side) / 2
        val top = (height - module * side) / 2
        for (at in code.modules.indices) {
            if (code.modules[at] == DARK) {
                val x = (left + at % side * module).toFloat()
                val y = (top + at / side * module).toFloat()
                canvas.drawRect(x, y, x + module, y + module, dark)
            }
        }
    }

    private companion object {
        const val DARK: Byte = 1
    }
}
