CREATE PROCEDURE put_record(
    p_ip VARCHAR(15), p_at VARCHAR(32), p_event VARCHAR(50), p_country VARCHAR(50),
    p_province VARCHAR(50), p_city VARCHAR(50), p_continent VARCHAR(50), p_isp VARCHAR(255),
    p_asn VARCHAR(50), p_longitude FLOAT, p_latitude FLOAT, p_china VARCHAR(8))
BEGIN
    DECLARE seen TIMESTAMP DEFAULT STR_TO_DATE(p_at, '%Y-%m-%dT%H:%i:%sZ');
    DECLARE china BOOLEAN DEFAULT p_china IN ('true', '1');
    INSERT INTO botnet_nodes_mozi (ip, longitude, latitude, country, province, city,
            continent, isp, asn, is_china, first_seen, last_seen, updated_at,
            communication_count)
        VALUES (p_ip, p_longitude, p_latitude, p_country, p_province, p_city,
            p_continent, p_isp, p_asn, china, seen, seen, seen, 1)
        ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), longitude = p_longitude,
            latitude = p_latitude, country = p_country, province = p_province,
            city = p_city, continent = p_continent, isp = p_isp, asn = p_asn,
            is_china = china,
            first_seen = LEAST(COALESCE(first_seen, seen), seen),
            last_seen = GREATEST(COALESCE(last_seen, seen), seen),
            updated_at = seen, communication_count = communication_count + 1;
    INSERT IGNORE INTO botnet_communications_mozi (node_id, ip, communication_time,
            longitude, latitude, country, province, city, continent, isp, asn, is_china,
            event_type, status)
        VALUES (LAST_INSERT_ID(), p_ip, seen, p_longitude, p_latitude, p_country,
            p_province, p_city, p_continent, p_isp, p_asn, china, p_event, 'active');
END
