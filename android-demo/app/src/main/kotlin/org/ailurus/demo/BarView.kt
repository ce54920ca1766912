package org.ailurus.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View

/** A bar as long as its share of the width, in the theme's accent. A text beside it says the same. */
class BarView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val paint = Paint().apply {
        val accent = context.obtainStyledAttributes(intArrayOf(android.R.attr.colorAccent))
        color = accent.getColor(0, 0)
        accent.recycle()
    }

    /** From 0 to 1. */
    var share: Float = 0f
        set(value) {
            field = value.coerceIn(0f, 1f)
            invalidate()
        }

    init {
        importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        // Whatever was spent is seen.
        val length = (width * share).coerceAtLeast(height / 4f)
        val start = if (layoutDirection == LAYOUT_DIRECTION_RTL) width - length else 0f
        canvas.drawRect(start, 0f, start + length, height.toFloat(), paint)
    }
}
