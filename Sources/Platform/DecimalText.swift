/// Numbers as decimal text, appended to bytes without a string in between.
public enum DecimalText {
    public static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        if number < 10 { return bytes.append(UInt8(ascii: "0") + UInt8(number)) }
        // The largest number has 20 digits.
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var count = 0
        var rest = number
        while rest > 0 {
            digits[count] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
            count += 1
        }
        while count > 0 {
            count -= 1
            bytes.append(digits[count])
        }
    }
}
